"""Components for the tests of configuration, importable by name as a user's own would be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from cluster_kit import Connector, Node, PluginError, Strategy, Topology
from cluster_kit.config import Secret


class Silent(Strategy):
    """Takes no options."""

    async def discover(self, ctx):
        return
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    times: int
    wait_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Full(Silent):
    """Has an option of every type that there is."""

    known: ClassVar[int] = 3
    text: str = "x"
    number: int = 1
    ratio: float = 0.5
    flag: bool = False
    path: Path = Path("/")
    secret: Secret | None = None
    mode: Literal["pods", "endpoints"] = "pods"
    ports: tuple[int, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    retry: Retry | None = None
    retries: tuple[Retry, ...] = ()
    maybe: int | None = None
    bounded: Annotated[int, msgspec.Meta(ge=1, le=9)] = 5
    either: int | str | None = None
    callback: Any = None
    derived: int = field(init=False, default=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Silent):
    """Takes a list of texts."""

    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling(Silent):
    """Has an option that must be given, and checks its options itself."""

    query: str
    interval_s: float = 5.0

    def __post_init__(self) -> None:
        if self.interval_s <= 0:
            raise ValueError(f"interval_s {self.interval_s} is not\npositive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed(Silent):
    """Takes some options by the names that they once had, too."""

    selector: str = field(metadata={"aliases": ("old_selector",)})
    port: int = field(default=0, metadata={"aliases": ("old_port", "older_port")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening(Connector):
    """Listens on the node's host, or where it is told to."""

    uses_secret: ClassVar[bool] = True

    host: str | None = None

    async def start(self, local: Node, links: Any) -> Node:
        return local

    async def connect(self, node: Node) -> Node:
        return node

    async def disconnect(self, node: Node) -> None: ...

    async def stop(self) -> None: ...

    def serves_on(self, host: str) -> str | None:
        return self.host or host


class Everyone(Topology):
    def select(self, local, known):
        return known


class Unknowable(Silent):
    def serves_on(self, host):
        raise RuntimeError("cannot say")


class Broken(Silent):
    def __init__(self):
        raise OSError("no disk")


class Incomplete(Strategy):
    """Forgets ``discover``."""


@dataclass
class Unresolvable(Silent):
    value: Missing = None  # noqa: F821 - the fault under test


class Unpicklable(Silent):
    def __init__(self):
        self.callback = lambda: None


class Outer:
    class Inner(Silent):
        pass


class Shelf:
    """Stands for the plugin registry."""

    offers: ClassVar = {
        ("strategy", "silent"): Silent,
        ("strategy", "full"): Full,
        ("strategy", "polling"): Polling,
        ("connector", "tcp"): Listening,
        ("topology", "full_mesh"): Everyone,
    }

    def resolve(self, kind, name):
        try:
            return self.offers[kind, name]
        except KeyError:
            raise PluginError(f"unknown {kind} {name!r}", plugin=name) from None

    def origin(self, kind, name):
        return "plugin shelf"
