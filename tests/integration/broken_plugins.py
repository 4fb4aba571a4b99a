"""Plugins that are broken, each in its own way, as distributions to be installed side by side."""

from pathlib import Path
from textwrap import dedent

VERSION = "1.2"

# A plugin whose source defines the class ``Own`` offers it as a strategy of the plugin's name.
HEADER = """\
from __future__ import annotations
from collections.abc import Mapping
from dataclasses import dataclass, field, InitVar
from enum import Enum
from typing import Any
from cluster_kit import *
from cluster_kit import hookimpl

class Finder(Strategy):
    async def discover(self, ctx):
        return
        yield
"""
OFFER = """
@hookimpl
def cluster_kit_strategies():
    return {"NAME": "NAME:Own"}
"""


def install(folder: Path, name: str, source: str, point: str | None = None) -> None:
    """Put a distribution with one plugin into ``folder``, as an installer would."""
    offer = OFFER.replace("NAME", name) if "class Own" in source else ""
    (folder / f"{name}.py").write_text(HEADER + dedent(source) + offer)
    info = folder / f"{name}-{VERSION}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n")
    (info / "entry_points.txt").write_text(f"[cluster_kit]\n{name} = {point or name}\n")


# What is wrong with the whole plugin: its source, and how the line about it begins.
FAILED = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero, in "),
    "exits": ("raise SystemExit('bye')", "SystemExit: bye, in "),
    "throws": ("class Own(BaseException): pass\nraise Own('up')", "Own: up, in "),
    "interrupts": ("raise KeyboardInterrupt", "its code ended the process"),
    "dies": ("import os; os._exit(0)", "its code ended the process"),
    "crashes": (
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "its code ended the process",
    ),
    "misspelt": ("def x(:", "SyntaxError: invalid syntax (misspelt.py, line 13)"),
    "circular": (
        "import circular_b",
        "ImportError: cannot import name 'Own' from partially initialized module 'circular'",
    ),
    "mutable": (
        "@dataclass\nclass Mine(Finder):\n    hosts: list = []",
        (
            "ValueError: mutable default <class 'list'> for field hosts is not allowed: use "
            "default_factory, in "
        ),
    ),
    "bare_field": (
        "@dataclass\nclass Mine(Finder):\n    port = field(default=5)",
        "TypeError: 'port' is a field but has no type annotation, in ",
    ),
    "no_hooks": (
        "",
        "TypeError: it implements no hook: mark its functions with @cluster_kit.hookimpl",
    ),
    "unmarked": (
        "@hookimpl\ndef cluster_kit_event(event): pass\ndef cluster_kit_strategies(): return {}",
        (
            "TypeError: cluster_kit_strategies is not marked as a hook: put @cluster_kit.hookimpl "
            "above it"
        ),
    ),
    "unknown_hook": (
        "@hookimpl\ndef cluster_kit_nodeup(node): pass",
        "TypeError: unknown hook 'cluster_kit_nodeup': did you mean 'cluster_kit_node_up'?",
    ),
    "arguments": (
        "@hookimpl\ndef cluster_kit_node_down(topology, peer): pass",
        (
            "TypeError: cluster_kit_node_down has the argument 'peer', which the hook does not "
            "pass: it may take topology, node, reason"
        ),
    ),
    "no_mapping": (
        "@hookimpl\ndef cluster_kit_strategies(): return Finder",
        "TypeError: cluster_kit_strategies returned ABCMeta: expected a mapping of name to class",
    ),
    "spaces": (
        "@hookimpl\ndef cluster_kit_strategies(): return {'My Finder': Finder}",
        (
            "ValueError: cluster_kit_strategies offers 'My Finder': expected lower-case letters, "
            "digits and '_'"
        ),
    ),
    "dirs": ("def __dir__(): raise RuntimeError('no look')", "RuntimeError: no look, in "),
}
# What is wrong with its strategy: the source of class ``Own``, and how the line about it begins,
# after ``'X:Own' ``.
BROKEN = {
    "nothing": ("class Own(Strategy): pass", "it does not implement 'discover'"),
    "plain_poll": (
        "class Own(PollingStrategy):\n    def poll(self, ctx): return frozenset()",
        "'poll' must be async: write 'async def'",
    ),
    "coroutine": (
        "class Own(Strategy):\n    async def discover(self, ctx): return Found([])",
        "'discover' must be an async generator: 'async def' with 'yield'",
    ),
    "annotated": (
        (
            "class Own(Strategy):\n    async def discover(self, ctx) -> "
            "AsyncIterator[Observation]: return Found([])"
        ),
        "'discover' must be an async generator: 'async def' with 'yield'",
    ),
    "generator": (
        "class Own(Strategy):\n    def discover(self, ctx): yield Found([])",
        "'discover' must be an async generator: 'async def' with 'yield'",
    ),
    "no_ctx": (
        "class Own(Strategy):\n    async def discover(self): yield Found([])",
        "'discover' is called with (ctx), which it does not take: too many positional arguments",
    ),
    "no_method": (
        "class Own(Finder):\n    discover = property(lambda self: 1 / 0)",
        "'discover' is of type property",
    ),
    "listed": (
        "@dataclass\nclass Own(Finder):\n    hosts: list[str] = field(default_factory=list)",
        (
            "option 'hosts' of Own: no configuration can give a value of type list[str]: use "
            "tuple[str, ...]"
        ),
    ),
    "chosen": (
        (
            "class Mode(Enum):\n    FAST = 'fast'\n    SLOW = 'slow'\n@dataclass\nclass "
            "Own(Finder):\n    mode: Mode = Mode.FAST"
        ),
        (
            "option 'mode' of Own: no configuration can give a value of type Mode: use "
            "Literal['fast', 'slow']"
        ),
    ),
    "deep": (
        (
            "@dataclass\nclass Part:\n    at: complex\n@dataclass\nclass Own(Finder):\n    parts: "
            "tuple[Part, ...] = ()"
        ),
        "option 'at' of Part: no configuration can give a value of type complex",
    ),
    "unresolved": (
        "@dataclass\nclass Own(Finder):\n    hosts: Hosts = None",
        "the option types of Own cannot be resolved: NameError: name 'Hosts' is not defined",
    ),
    "named": (
        "@dataclass\nclass Own(Finder):\n    name: str = 'x'",
        "option 'name' cannot be given: that key names the strategy itself",
    ),
    "hiding": (
        "@dataclass\nclass Own(Finder):\n    diagnose: bool = False",
        (
            "'diagnose' is of type bool: expected a method; option 'diagnose' hides the method of "
            "that name"
        ),
    ),
    "bare": (
        "@dataclass\nclass Own(Finder):\n    port = 5",
        "'port' has no annotation, so it is not an option: write 'port: int = 5', or ClassVar[int]",
    ),
    "undecorated": (
        "class Own(Finder):\n    port: int",
        "'port' would be options of a dataclass: decorate it with @dataclass",
    ),
    "aliased": (
        (
            "@dataclass\nclass Own(Finder):\n    port: int = field(default=5, metadata={'aliases': "
            "'old'})"
        ),
        "option 'port': its metadata 'aliases' is 'old': expected a tuple of names",
    ),
    "constructed": (
        "class Own(Finder):\n    def __init__(self, url): pass",
        (
            "its constructor must take exactly the options, the fields of the dataclass: missing a "
            "required"
        ),
    ),
    "initvar": (
        "@dataclass\nclass Own(Finder):\n    url: InitVar[str]",
        (
            "its constructor must take exactly the options, the fields of the dataclass: missing a "
            "required"
        ),
    ),
    "metaclass": (
        """
        class Magic(type(Strategy)):
            @property
            def __signature__(cls): raise SystemExit('magic')
        class Own(Finder, metaclass=Magic): pass
        """,
        "it cannot be inspected: SystemExit: magic",
    ),
    "super_less": (
        """
        @dataclass(slots=True)
        class Own(Finder):
            async def discover(self, ctx):
                async for each in super().discover(ctx): yield each
        """,
        (
            "'discover' uses super(), which @dataclass(slots=True) breaks: write super(Own, self), "
            "or leave slots=True out"
        ),
    ),
}
