"""Classes that a configuration or a plugin names as text: ``package.module:Class``.

Whatever such a module does when it is imported, the answer is a class of the right contract or one
line that says what is wrong.
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
from cluster_kit.config.suggest import did_you_mean
from cluster_kit.errors import ClusterKitError, ConfigError, PluginError, described

Kind = Literal["strategy", "connector", "topology"]
Offered = Kind | Literal["spec", "command"]

CONTRACTS: Mapping[Kind, type] = MappingProxyType(
    {"strategy": Strategy, "connector": Connector, "topology": Topology}
)
# by imported package
_EXTRAS = MappingProxyType({"kubernetes": "kubernetes", "zeroconf": "mdns", "dns": "dns"})
_FORM = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_MAX_REASON_CHARS = 300
_OURS_OR_STANDARD = re.compile(
    rf"<|{re.escape(str(Path(__file__).parents[1]))}/|{re.escape(str(Path(re.__file__).parents[1]))}/(?!site-|dist-)"
)


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
    """Import whatever ``target`` names, ``package.module:name``.

    Where there is no such name, the message suggests only names of what ``fits``.

    Raises:
        PluginError: There is no such thing, or its module fails.
        ConfigError: Its module needs an extra that isn't installed.
    """
    if not is_target(target):
        raise PluginError(
            f"cannot import {target[:80]!r}: expected package.module:Class", plugin=target
        )
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
        raise PluginError(
            f"module {module_name!r} has no {path!r}{nearest}", plugin=target
        ) from exc
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # a module that imports its names when they are asked for
        raise _import_error(target, module_name, exc) from exc


def check_class(found: Any, contract: type, target: str) -> type:
    """Return ``found`` if it is a subclass of ``contract``, else raise ``PluginError``."""
    if not isinstance(found, type) or not issubclass(found, contract):
        wanted = contract.__name__
        others = [
            kind
            for kind, other in CONTRACTS.items()
            if isinstance(found, type) and issubclass(found, other)
        ]
        hint = f"; it is a {others[0]}" if others else ""
        raise PluginError(
            f"{target!r} is not a {wanted}: expected a subclass of cluster_kit.{wanted}{hint}",
            plugin=target,
        )
    return found


def target_of(cls: type) -> str:
    """Return the text by which a worker finds ``cls``.

    Raises:
        PluginError: It has no such text.
    """
    target = f"{cls.__module__}:{cls.__qualname__}"
    if cls.__module__ == "__main__":
        raise PluginError(
            f"{target!r} cannot be used: workers import it by name; move it into a module",
            plugin=target,
        )
    if not is_target(target) or import_class(target) is not cls:
        raise PluginError(
            f"{target!r} cannot be used: workers import it by that name and don't find it; move it "
            "to the top of its module",
            plugin=target,
        )
    return target


def reason_of(exc: BaseException) -> str:
    """Return what went wrong as one bounded line."""
    if isinstance(exc, ModuleNotFoundError) and _extra(exc):
        return f"the package {exc.name!r} is missing: pip install 'cluster-kit[{_extra(exc)}]'"
    text = str(exc) if isinstance(exc, ClusterKitError) else described(exc)
    return " ".join(text.split())[:_MAX_REASON_CHARS]


def raised_at(exc: BaseException) -> str:
    """Return ``, in FILE:LINE`` if foreign code raised ``exc``; nothing if ours did."""
    # what to install matters, not who needs it
    if isinstance(exc, ModuleNotFoundError) and _extra(exc):
        return ""
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
