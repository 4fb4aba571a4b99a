"""Finds the entry points of the group ``cluster_kit``, even if some metadata is broken.

``importlib.metadata.entry_points`` raises for all of them where one is broken, so each distribution
is read by itself. One whose metadata has nothing to do with this group is none of our business,
broken or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial, reduce
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import NamedTuple

from cluster_kit.config.targets import raised_at
from cluster_kit.hookspecs import PROJECT

# Source: https://packaging.python.org/en/latest/specifications/entry-points/
_VALUE = re.compile(r"[\w.]+(\s*:\s*[\w.]+)?\s*(\[.*\])?\s*")
_MAX_LABEL_CHARS = 100


class Installed(NamedTuple):
    """An entry point: ``load`` imports what it names, or raises what is wrong with it."""

    name: str
    distribution: str
    load: Callable[[], object]


def installed_plugins() -> list[Installed]:
    """Return all, sorted by name and distribution; of duplicates, the first on the path counts."""
    first: dict[str, Distribution] = {}
    for distribution in distributions():
        first.setdefault(_key(distribution), distribution)
    return sorted(
        (plugin for each in first.values() for plugin in _plugins_of(each)),
        key=lambda plugin: plugin[:2],
    )


def _plugins_of(distribution: Distribution) -> Iterator[Installed]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
        points = (
            [point for point in distribution.entry_points if point.group == PROJECT]
            if PROJECT in text
            else []
        )
    except Exception as exc:  # noqa: BLE001 - there are finders of many makers, and files of any content
        if not isinstance(exc, UnicodeDecodeError) or PROJECT.encode() in exc.object:
            label = _label(distribution)
            yield Installed(label.partition(" ")[0], label, partial(_refuse, exc))
        return
    for point in points:
        yield Installed(point.name, _label(distribution), partial(_load, point))


def _refuse(exc: Exception) -> object:
    raise ValueError(
        f"its entry_points.txt cannot be read: {exc}: install the distribution again"
    ) from exc


def _load(point: EntryPoint) -> object:
    if not _VALUE.fullmatch(point.value):
        raise ValueError(
            f"its entry point is {point.value!r:.80}: expected package.module or "
            "package.module:object"
        )
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
    return (
        f", which its entry point {point.value!r} names: correct that in its pyproject.toml and "
        "install it again"
    )


def _key(distribution: Distribution) -> str:
    """Return what two versions of a distribution share, from the folder's name if possible."""
    folder = _folder(distribution)
    name = folder.partition("-")[0] if folder else _field(distribution, "Name")
    return re.sub(r"[-_.]+", "-", name).lower() or f"{id(distribution)}"


def _label(distribution: Distribution) -> str:
    """Return name and version, and where these are missing, what there is instead."""
    name, version = _field(distribution, "Name"), _field(distribution, "Version")
    label = (
        f"{name} {version or 'of unknown version'}"
        if name
        else _folder(distribution) or "unknown distribution"
    )
    return label[:_MAX_LABEL_CHARS]


def _field(distribution: Distribution, name: str) -> str:
    try:
        metadata = distribution.metadata
        return " ".join(metadata[name].split()) if name in metadata else ""
    except Exception:  # noqa: BLE001 - no METADATA, or one that is no text
        return ""


def _folder(distribution: Distribution) -> str:
    """Return the name of the folder or file that holds the metadata, for those on a file system."""
    return getattr(getattr(distribution, "_path", None), "name", "")
