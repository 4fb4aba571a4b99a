"""Turns a YAML file or a dict into frozen values, or into one error that lists every fault.

The way of a configuration through the modules:

===============================================  ===================================================
``yaml_source``, ``expand``                      read a file as plain data, ``${...}`` expanded
``document``                                     knows where each piece of the data is written
``load``, ``topologies``, ``components``         read all of it, its entries, and their parts
``options``, ``values``, ``lists``,              convert the options of a class, strictly
``callback``, ``bounds``
``targets``, ``contract``, ``declarations``      import a class, and check that it fits
``guarded_file``, ``secret_file``,               read secrets and certificates from files
``certificate_settings``, ``certificate_files``,
``certificate_checks``
``model``, ``secret``                            the values that come out
``advice``                                       warns about weak or exposed protection
``dicts``, ``schema``                            describe the keys to type checkers and editors
===============================================  ===================================================

The values are cheap to import, because workers do; the readers are imported only with
``load_config``. Nothing here knows the plugins: the registry that resolves names is an argument.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster_kit.config.dicts import ChildSpecDict, ConfigDict, TopologyDict
    from cluster_kit.config.load import load_config
    from cluster_kit.config.model import ChildSpec, ClusterConfig, Component, TopologyConfig
    from cluster_kit.config.secret import Secret

__all__ = [
    "ChildSpec",
    "ChildSpecDict",
    "ClusterConfig",
    "Component",
    "ConfigDict",
    "Secret",
    "TopologyConfig",
    "TopologyDict",
    "load_config",
]

_MODULE_OF = {
    "ChildSpec": "model",
    "ChildSpecDict": "dicts",
    "ClusterConfig": "model",
    "Component": "model",
    "ConfigDict": "dicts",
    "Secret": "secret",
    "TopologyConfig": "model",
    "TopologyDict": "dicts",
    "load_config": "load",
}


def __getattr__(name: str) -> Any:
    """Import a name on first use (PEP 562), since not every process needs all of them."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
