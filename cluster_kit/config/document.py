"""A configuration before it is understood: plain data, and where each piece of it is written.

``Part`` is a value with its key path, which is all that a check needs to complain in the right place. ``Faults`` collects
complaints, so that all of them are reported at once.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

from cluster_kit.errors import ConfigError

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[\w-]{1,64}")
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


class Place(NamedTuple):
    """Where a key or value is written; ``text`` is how, for a scalar. Lines and columns count from 1.

    ``expanded`` is ``text`` with its references replaced, before YAML makes a number or nothing of it.
    """

    line: int
    column: int
    text: str | None = None
    quoted: bool = False
    expanded: str | None = None


class MisreadNumberError(ConfigError):
    """A number that YAML reads otherwise than it is written; the message shows it."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Document:
    """Plain data and its places.

    A scalar that could not be read stands in ``data`` as its ``ConfigError``, raised when somebody takes it. Neither a document
    nor a part of it shows its data, lest a secret in it come into a traceback.

    Attributes:
        errors: Faults of the text itself, such as duplicate keys.
    """

    data: Any
    file: str | None = None
    keys: Mapping[KeyPath, Place] = field(default_factory=dict)
    values: Mapping[KeyPath, Place] = field(default_factory=dict)
    errors: tuple[ConfigError, ...] = ()

    def __repr__(self) -> str:
        return f"Document({self.file!r})"

    @property
    def root(self) -> Part:
        """The whole document."""
        return Part(self, (), self.data)


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """A piece of a document."""

    document: Document
    path: KeyPath
    raw: Any

    def __repr__(self) -> str:
        return f"Part({format_path(self.path)})"

    @property
    def value(self) -> Any:
        """The plain data; raises the error of a scalar that could not be read."""
        if isinstance(self.raw, ConfigError):
            raise self.raw
        return self.raw

    @property
    def place(self) -> Place | None:
        """Where the value is written, if it is."""
        return self.document.values.get(self.path)

    @property
    def key(self) -> str:
        """The last key of the path."""
        return str(self.path[-1])

    def child(self, key: str | int, raw: Any) -> Part:
        """Return the piece of this one that ``key`` leads to."""
        return Part(self.document, (*self.path, key), raw)

    def by_key(self) -> dict[str, Part]:
        """Return the pieces of a mapping; nothing (``config:`` alone on its line) is an empty one."""
        mapping = {} if self.value is None else self.value
        if not isinstance(mapping, Mapping):
            raise self.error(f"expected a mapping, got {type_name(mapping)}")
        for key in mapping:
            if not isinstance(key, str):
                raise self.error(f"key {shown(key)} is not text: quote it")
        return {key: self.child(key, raw) for key, raw in mapping.items()}

    def items(self) -> list[Part]:
        """Return the pieces of a list by index."""
        if not isinstance(self.value, list | tuple):
            raise self.error(f"expected a list, got {type_name(self.value)}")
        return [self.child(index, raw) for index, raw in enumerate(self.value)]

    def replaced(self, raw: Any) -> Part:
        """Return a part in the same place with other data."""
        return Part(self.document, self.path, raw)

    def error(self, message: str) -> ConfigError:
        """Return a complaint about the value; for one that isn't written, where it would belong."""
        path = self.path
        while path and path not in self.document.values:
            path = path[:-1]
        return self._error(message, self.document.values.get(path))

    def key_error(self, message: str) -> ConfigError:
        """Return a complaint about the key."""
        return self._error(message, self.document.keys.get(self.path))

    def _error(self, message: str, place: Place | None) -> ConfigError:
        line, column = (place.line, place.column) if place else (None, None)
        return ConfigError(message, path=format_path(self.path), file=self.document.file, line=line, column=column)


class Faults:
    """Collects every ``ConfigError`` raised in its ``with`` blocks.

    Example::

        with faults:
            port = convert(part, int)
        faults.check()
    """

    def __init__(self, errors: Iterable[ConfigError] = ()) -> None:
        self.errors = list(errors)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> bool:
        if isinstance(exc, ConfigError):
            self.errors.extend(exc.errors)
            return True
        return False

    def add(self, errors: Iterable[ConfigError]) -> None:
        """Collect errors that were not raised."""
        self.errors.extend(errors)

    def check(self) -> None:
        """Raise what was collected, in the order of the document."""
        if self.errors:
            raise ConfigError.gather(sorted(self.errors, key=lambda error: (error.line or 0, error.column or 0)))


def format_path(path: KeyPath) -> str:
    """Return ``topologies.lan.strategy[0].port``; a key that isn't a plain word is quoted."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key[:64]!r}]"
    return text


def shown(value: Any) -> str:
    """Return a value as a message shows it, whatever it is and however long."""
    return _SHOWN.repr(value)


def type_name(value: Any) -> str:
    """Return what a user calls the type of ``value``."""
    if value is None:
        return "nothing"
    if isinstance(value, type):
        return "class"  # whatever its metaclass
    return {"dict": "mapping", "tuple": "list"}.get(type(value).__name__, type(value).__name__)
