"""The files of a new plugin: templates with the plugin's name filled in.

A file has the path of its template, with ``PACKAGE`` and ``MODULE`` filled in, and without ``.in``.
"""

from __future__ import annotations

import errno
import keyword
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template
from typing import Literal

from cluster_kit._version import __version__

Kind = Literal["strategy", "registry", "connector", "topology", "observer", "command"]
"""The kinds of plugins that there are templates for."""

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_MAX_NAME_CHARS = 40
_SUFFIX = ".in"
_NO_AUTHOR = "YOUR NAME"
_MAX_AUTHOR_CHARS = 100
_GIT_S = 5.0
_TAKEN = frozenset({"hooks", "installed", "polling", "registry"})  # modules of the templates

FIRST_STEPS = """\
In a virtual environment:

```console
pip install '/path/to/cluster_kit[testing]'    # until cluster_kit is on PyPI
pip install -e '.[test]'
pytest
cluster-kit plugins           # shows what was found
```"""


def fault_of(kind: Kind, name: str) -> str | None:
    """Return why a plugin's ``kind`` can't be called ``name``, ``None`` if it can."""
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME_CHARS:
        allowed = "lower-case words of letters and digits, joined with '_'"
        return f"{name!r}: expected {allowed}, at most {_MAX_NAME_CHARS} characters"
    if keyword.iskeyword(name) or name in _TAKEN:
        return f"{name!r}: the templates or Python reserve this name: choose another"
    if offered_name(kind, name) in _names_in_use(kind):
        return f"{name!r}: an installed {offered_kind(kind)} has this name: choose another"
    return None


def offered_name(kind: Kind, name: str) -> str:
    """Return the name under which users find what the plugin offers: commands have dashes."""
    return name.replace("_", "-") if kind == "command" else name


def offered_kind(kind: Kind) -> Literal["strategy", "connector", "topology", "observer", "command"]:
    """Return what a configuration calls the kind: a registry is a strategy."""
    return "strategy" if kind == "registry" else kind


def _names_in_use(kind: Kind) -> Collection[str]:
    from cluster_kit.cli import COMMANDS
    from cluster_kit.plugins import PluginRegistry

    plugins = PluginRegistry.load()
    if kind == "command":
        return {*COMMANDS, *plugins.names(kind)}
    offered = offered_kind(kind)
    return () if offered == "observer" else plugins.names(offered)  # observers have no names


def distribution(kind: Kind, name: str) -> dict[PurePosixPath, str]:
    """Return the texts of all files by their paths in the distribution."""
    stem = "".join(word.capitalize() for word in name.split("_"))
    dependencies = [f'"cluster-kit>={__version__}"']
    if kind == "command":
        dependencies.append('"click>=8.1"')
    words = {
        "kind": offered_kind(kind),
        "name": name,
        "stem": stem,
        "class_name": stem + offered_kind(kind).capitalize(),
        "package": f"cluster_kit_{name}",
        "distribution": f"cluster-kit-{name.replace('_', '-')}",
        "command_name": offered_name("command", name),
        "dependencies": ", ".join(dependencies),
        "year": str(date.today().year),
        "author": author(),
        "first_steps": FIRST_STEPS,
    }
    templates = files(__package__) / "templates"
    folders = ("any", kind) if kind in ("observer", "command") else ("any", "part", kind)
    return {
        _path(parts, words): Template(template.read_text()).substitute(words)
        for folder in folders
        for parts, template in _walk(templates / folder, ())
    }


def _walk(
    folder: Traversable, parts: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _walk(each, (*parts, each.name))
        elif each.name.endswith(_SUFFIX):
            yield (*parts, each.name), each


def _path(parts: tuple[str, ...], words: Mapping[str, str]) -> PurePosixPath:
    path = "/".join(parts).removesuffix(_SUFFIX)
    path = path.replace("PACKAGE", words["package"]).replace("MODULE", words["name"])
    return PurePosixPath(f".{path}" if path == "gitignore" else path)


def write(folder: Path, texts: Mapping[PurePosixPath, str]) -> None:
    """Make ``folder`` with these files, all of them or nothing.

    Raises:
        OSError: It exists and is not empty, or can't be made.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(errno.EEXIST, "it exists and is not empty")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for path, text in texts.items():
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            (part / path).write_text(text, encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        part.chmod(0o777 & ~umask)  # mkdtemp makes it private
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def author() -> str:
    """Return the name that git uses for commits here, or a placeholder."""
    command = ["git", "config", "--get", "user.name"]
    try:
        asked = subprocess.run(  # noqa: S603 - the command is ours
            command, capture_output=True, timeout=_GIT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return _NO_AUTHOR
    name = " ".join(asked.stdout.decode(errors="replace").split())[:_MAX_AUTHOR_CHARS]
    return name if name and name.isprintable() else _NO_AUTHOR
