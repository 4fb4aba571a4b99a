"""Reads the configuration file that a command is given."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster_kit.cli.failure import FaultyFile
from cluster_kit.errors import ConfigError

if TYPE_CHECKING:
    from cluster_kit.config import ClusterConfig
    from cluster_kit.plugins import PluginRegistry


def see_modules_beside(file: str) -> None:
    """Append the folder of ``file`` to the module path, so that the file can name modules in it."""
    with suppress(OSError):  # the working directory is gone: reading the file will report that
        folder = str(Path(file).absolute().parent)
        if folder not in sys.path:
            sys.path.append(folder)


def read_configuration(file: str, name: str | None = None) -> tuple[ClusterConfig, PluginRegistry]:
    """Return the checked configuration and the plugins that it was checked with.

    Args:
        file: A YAML file.
        name: Replaces its ``node``; a basename alone keeps the host.

    Raises:
        FaultyFile: The file can't be used.
    """
    from cluster_kit.plugins import PluginRegistry, load_config

    see_modules_beside(file)
    plugins = PluginRegistry.load()
    try:
        if name is not None and "@" not in name:
            name = f"{name}@{load_config(file, plugins).host}"
        return load_config(file, plugins, node=name), plugins
    except ConfigError as exc:
        raise FaultyFile(exc) from exc
