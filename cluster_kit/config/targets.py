"""Imports classes that a configuration or a plugin names: ``package.module:Class``.

Whatever the module does when it is imported, the result is a class that fulfils its contract, or an
error of one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType
from typing import Any, Literal

from cluster_kit.abc import Connector, Strategy, Topology
from cluster_kit.errors import ClusterKitError, ConfigError, PluginError, described
from cluster_kit.fault import did_you_mean

Kind = Literal["strategy", "connector", "topology"]
Offered = Kind | Literal["spec", "command"]

CONTRACTS: Mapping[Kind, type] = MappingProxyType(
    {"strategy": Strategy, "connector": Connector, "topology": Topology}
)
_EXTRAS: Mapping[str, str] = MappingProxyType(  # by the package that they install
    {"kubernetes": "kubernetes", "zeroconf": "mdns", "dns": "dns"}
)
_FORM = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_MAX_REASON_CHARS = 300
_OURS, _STANDARD = (re.escape(str(Path(file).parents[1])) for file in (__file__, re.__file__))
_OURS_OR_STANDARD = re.compile(rf"<|{_OURS}/|{_STANDARD}/(?!site-|dist-)")


def is_target(text: str) -> bool:
    """Whether ``text`` has the form ``package.module:Class``."""
    return _FORM.fullmatch(text) is not None


def import_class(target: str, contract: type = object) -> type:
    """Import the class that ``target`` names.

    Raises:
        PluginError: As ``import_object``, or it is not a subclass of ``contract``.
        ConfigError: As ``import_object``.
    """

    def fits(value: Any) -> bool:
        return isinstance(value, type) and issubclass(value, contract) and value is not contract

    return check_class(import_object(target, fits), contract, target)


def import_object(target: str, fits: Callable[[Any], bool] = callable) -> Any:
    """Import the object that ``target`` names, ``package.module:name``.

    If there is no such name, the message suggests only names of objects that ``fits`` accepts.

    Raises:
        PluginError: There is no such object, or its module fails.
        ConfigError: Its module needs an extra that isn't installed.
    """
    if not is_target(target):
        message = f"cannot import {target[:80]!r}: expected package.module:Class"
        raise PluginError(message, plugin=target)
    module_name, _, path = target.partition(":")
    try:
        module = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        raise _import_error(target, module_name, exc) from exc
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError as exc:
        fitting = [name for name, value in vars(module).items() if name[:1] != "_" and fits(value)]
        nearest = did_you_mean(path, fitting) if fitting else ""
        message = f"module {module_name!r} has no {path!r}{nearest}"
        raise PluginError(message, plugin=target) from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # from a module that imports its names lazily
        raise _import_error(target, module_name, exc) from exc


def check_class(found: Any, contract: type, target: str) -> type:
    """Return ``found`` if it is a subclass of ``contract``, else raise ``PluginError``."""
    if not isinstance(found, type) or not issubclass(found, contract):
        wanted = contract.__name__
        bases = found.__mro__ if isinstance(found, type) else ()
        others = [kind for kind, other in CONTRACTS.items() if other in bases]
        hint = f"; it is a {others[0]}" if others else ""
        expected = f"expected a subclass of cluster_kit.{wanted}{hint}"
        raise PluginError(f"{target!r} is not a {wanted}: {expected}", plugin=target)
    return found


def target_of(cls: type) -> str:
    """Return the name by which a worker imports ``cls``.

    Raises:
        PluginError: It can't be imported by name.
    """
    target = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__":
        why = "workers import it by name; move it into a module"
        raise PluginError(f"{target!r} cannot be used: {why}", plugin=target)
    if not is_target(target) or import_class(target) is not cls:
        why = "workers can't import it by that name; move it to the top of its module"
        raise PluginError(f"{target!r} cannot be used: {why}", plugin=target)
    return target


def reason_of(exc: BaseException) -> str:
    """Describe an exception in one bounded line."""
    if isinstance(exc, ModuleNotFoundError) and _extra(exc):
        return f"the package {exc.name!r} is missing: pip install 'cluster-kit[{_extra(exc)}]'"
    text = str(exc) if isinstance(exc, ClusterKitError) else described(exc)
    return " ".join(text.split())[:_MAX_REASON_CHARS]


def raised_at(exc: BaseException) -> str:
    """Return ``, in FILE:LINE`` if foreign code raised ``exc``; nothing if ours did."""
    if isinstance(exc, ModuleNotFoundError) and _extra(exc):
        return ""  # the user must install the extra, whatever needs it
    places = [(frame.f_code.co_filename, line) for frame, line in walk_tb(exc.__traceback__)]
    foreign = [f", in {file}:{line}" for file, line in places if not _OURS_OR_STANDARD.match(file)]
    return foreign[-1] if foreign else ""


def _extra(exc: ModuleNotFoundError) -> str | None:
    return _EXTRAS.get((exc.name or "").partition(".")[0])


def _import_error(target: str, module_name: str, exc: BaseException) -> ClusterKitError:
    message = f"cannot import {target!r}: {reason_of(exc)}{raised_at(exc)}"
    if isinstance(exc, ModuleNotFoundError):
        if _extra(exc):
            return ConfigError(message)
        if f"{module_name}.".startswith(f"{exc.name}."):
            message += "; install it, or put its folder on PYTHONPATH"
    return PluginError(message, plugin=target)
