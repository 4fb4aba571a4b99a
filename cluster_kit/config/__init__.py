"""Configuration: a YAML file or a dict becomes frozen values, or one error that lists every fault with its place.

The values (``model``) are light, because workers import them; what reads a document loads with ``load_config`` alone. Nothing
here knows the plugins: the registry that resolves their names comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluster_kit.config.model import ChildSpec, ClusterConfig, Component, TopologyConfig
from cluster_kit.config.secret import Secret

if TYPE_CHECKING:
    from cluster_kit.config.load import load_config

__all__ = ["ChildSpec", "ClusterConfig", "Component", "Secret", "TopologyConfig", "load_config"]


def __getattr__(name: str) -> Any:
    """Import ``load_config``, and with it msgspec, when it is first asked for (PEP 562)."""
    if name != "load_config":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cluster_kit.config.load import load_config

    globals()[name] = load_config
    return load_config
