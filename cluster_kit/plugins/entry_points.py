"""Finds the entry points of the group ``cluster_kit``, even if some metadata is broken.

If one distribution has broken metadata, ``importlib.metadata.entry_points`` raises and returns no
entry point at all, so each distribution is read by itself. A broken one whose metadata doesn't
mention this group is ignored.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial, reduce
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import NamedTuple

from cluster_kit.config.targets import raised_at
from cluster_kit.hookspecs import PROJECT

log = logging.getLogger(__name__)

# Source: https://packaging.python.org/en/latest/specifications/entry-points/
_VALUE = re.compile(r"[\w.]+(\s*:\s*[\w.]+)?\s*(\[.*\])?\s*")
_MAX_LABEL_CHARS = 100
_SLOW_S = 10.0


class InstalledPlugin(NamedTuple):
    """An entry point; ``load`` imports and returns what it names."""

    name: str
    distribution: str
    load: Callable[[], object]


def installed_plugins() -> list[InstalledPlugin]:
    """Return the installed plugins, sorted by name and distribution.

    Where two versions of a distribution are installed, the first one on ``sys.path`` counts.
    """
    first: dict[str, Distribution] = {}
    for distribution in distributions():
        first.setdefault(_key(distribution), distribution)
    return sorted(
        (plugin for each in first.values() for plugin in _plugins_of(each)),
        key=lambda plugin: plugin[:2],
    )


def _plugins_of(distribution: Distribution) -> Iterator[InstalledPlugin]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
        if PROJECT not in text:
            return
        points = [point for point in distribution.entry_points if point.group == PROJECT]
    except Exception as exc:  # noqa: BLE001 - finders are foreign code, and files hold anything
        if not isinstance(exc, UnicodeDecodeError) or PROJECT.encode() in exc.object:
            label = _label(distribution)
            yield InstalledPlugin(label.partition(" ")[0], label, partial(_refuse, exc))
        return
    for point in points:
        label = _label(distribution)
        yield InstalledPlugin(point.name, label, partial(_load, point, label))


def _refuse(exc: Exception) -> object:
    cure = "install the distribution again"
    raise ValueError(f"its entry_points.txt cannot be read: {exc}: {cure}") from exc


def _load(point: EntryPoint, label: str) -> object:
    with _slowness_logged(point.name, label):
        return _object_of(point)


@contextmanager
def _slowness_logged(name: str, label: str) -> Iterator[None]:
    """Log which plugin holds up the application, if its import takes long."""
    cure = f"CLUSTER_KIT_BLOCK_PLUGINS={name} leaves it out"
    text = f"plugin {name} ({label}) is still being imported after {_SLOW_S:g} s: {cure}"
    timer = threading.Timer(_SLOW_S, log.warning, ("%s", text))
    timer.daemon = True
    with suppress(RuntimeError):  # the system refuses a thread: then there is no warning
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()  # a fork that follows must not copy a process with another thread


def _object_of(point: EntryPoint) -> object:
    if not _VALUE.fullmatch(point.value):
        expected = "expected package.module or package.module:object"
        raise ValueError(f"its entry point is {point.value!r:.80}: {expected}")
    try:
        return reduce(getattr, point.attr.split(".") if point.attr else (), _module_of(point))
    except AttributeError as exc:
        if raised_at(exc):  # by the module itself
            raise
        raise AttributeError(f"{exc}{_named_by(point)}") from exc


def _module_of(point: EntryPoint) -> object:
    try:
        return import_module(point.module)
    except ModuleNotFoundError as exc:
        if not f"{point.module}.".startswith(f"{exc.name}."):
            raise
        raise ModuleNotFoundError(f"No module named {exc.name!r}{_named_by(point)}") from exc


def _named_by(point: EntryPoint) -> str:
    cure = "correct that in its pyproject.toml and install it again"
    return f", which its entry point {point.value!r} names: {cure}"


def _key(distribution: Distribution) -> str:
    """Return the normalized name of a distribution, taken from its folder if possible."""
    folder = _folder(distribution)
    name = folder.partition("-")[0] if folder else _field(distribution, "Name")
    return re.sub(r"[-_.]+", "-", name).lower() or f"{id(distribution)}"


def _label(distribution: Distribution) -> str:
    """Return name and version of a distribution, or whatever identifies it without these."""
    name, version = _field(distribution, "Name"), _field(distribution, "Version")
    if name:
        label = f"{name} {version or 'of unknown version'}"
    else:
        label = _folder(distribution) or "unknown distribution"
    return label[:_MAX_LABEL_CHARS]


def _field(distribution: Distribution, name: str) -> str:
    try:
        metadata = distribution.metadata
        return " ".join(metadata[name].split()) if name in metadata else ""
    except Exception:  # noqa: BLE001 - METADATA is missing, or isn't text
        return ""


def _folder(distribution: Distribution) -> str:
    """Return the name of the folder that holds the metadata; empty if it isn't in a folder."""
    return getattr(getattr(distribution, "_path", None), "name", "")
