"""Reads the file that a command is given."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster_kit.cli.failure import Faults
from cluster_kit.errors import ConfigError

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.plugins import PluginRegistry


def see_modules_beside(file: str) -> None:
    """Put the folder of ``file`` last on the module path, so that it can name modules there."""
    with suppress(OSError):  # the working directory is gone, and so is a file in it: reading tells
        folder = str(Path(file).absolute().parent)
        if folder not in sys.path:
            sys.path.append(folder)


def read_configuration(file: str, name: str | None = None) -> tuple[ClusterConfig, PluginRegistry]:
    """Return the checked configuration and the plugins that it was checked with.

    Args:
        file: A YAML file.
        name: Takes the place of its ``node``; a basename alone takes the host of that.

    Raises:
        Faults: The file can't be used.
    """
    from cluster_kit.plugins import PluginRegistry, load_config

    see_modules_beside(file)
    plugins = PluginRegistry.load()
    try:
        if name is not None and "@" not in name:
            name = f"{name}@{load_config(file, plugins).host}"
        return load_config(file, plugins, node=name), plugins
    except ConfigError as exc:
        raise Faults(exc) from exc
