"""Functions by name: ``[module, function, args]`` as in libcluster, or ``"module:function"``.

A dict may hold the function itself instead of its name. It is imported when the configuration is
read, so that faults show before anything starts, and again in the worker that calls it.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster_kit.config.document import Piece, shown
from cluster_kit.config.targets import import_object, is_target, reason_of
from cluster_kit.errors import ConfigError, PluginError

FORMS = "package.module:function or [package.module, function, args]"


@dataclass(frozen=True, slots=True)
class Callback:
    """A function by name, and the arguments that precede those of the call."""

    target: str
    args: tuple[Any, ...] = ()

    def load(self) -> Callable[..., Any]:
        """Import the function."""
        function: Callable[..., Any] = import_object(self.target)
        return function

    def __str__(self) -> str:
        return self.target


def read_callback(piece: Piece) -> Callback:
    """Return the function that ``piece`` names; ``ConfigError`` if a worker couldn't import it."""
    callback = _named(piece)
    try:
        function = callback.load()
        pickle.dumps(callback.args)
    except (PluginError, ConfigError) as exc:
        raise piece.error(str(exc)) from exc
    except Exception as exc:  # pickling runs code of the arguments
        raise piece.error(f"its arguments cannot be sent to a worker: {reason_of(exc)}") from exc
    if not callable(function):
        raise piece.error(f"{callback.target!r} is not a function: expected {FORMS}")
    return callback


def _named(piece: Piece) -> Callback:
    match piece.value:
        case Callback() as callback:
            return callback
        case str(target) if is_target(target):
            return Callback(target)
        case [str(module), str(function)] | [str(module), str(function), None]:
            return Callback(f"{module}:{function}")
        case [str(module), str(function), [*args]]:
            return Callback(f"{module}:{function}", tuple(args))
        case function if callable(function):
            return Callback(_target_of(piece, function))
    raise piece.error(f"invalid value {shown(piece.value)}: expected {FORMS}")


def _target_of(piece: Piece, function: Callable[..., Any]) -> str:
    """Return the name by which a worker imports ``function``."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    target = f"{module}:{name}"
    if module == "__main__":
        why = f"{target!r} cannot be used: workers import it by name"
        raise piece.error(why, "move it into a module")
    try:
        found = import_object(target)
    except (PluginError, ConfigError):
        found = None
    if found is not function:
        why = f"{shown(function)} cannot be used: workers import functions by name"
        raise piece.error(why, "give one at the top of a module")
    return target
