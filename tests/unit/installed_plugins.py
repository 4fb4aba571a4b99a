"""Plugins that a test puts on the path, as an installer would; ``install`` is a fixture."""

import sys
import textwrap
from pathlib import Path

import pytest

from cluster_kit.plugins import PluginRegistry, PluginStatus

VERSION = "1.2"
PRELUDE = """
from cluster_kit import hookimpl, Strategy, Connector, Topology

class Finder(Strategy):
    async def discover(self, ctx):
        return
        yield

class Link(Connector):
    async def start(self, local, links): return local
    async def connect(self, node): return node
    async def disconnect(self, node): pass
    async def stop(self): pass
"""
OFFER = """
@hookimpl
def cluster_kit_strategies():
    return {"acme": Finder}
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that puts a distribution with one plugin on the path, as an installer
    would.
    """
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(distribution, source, name=None, attribute=""):
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(PRELUDE + textwrap.dedent(source))
        info = tmp_path / f"{module}-{VERSION}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {VERSION}\n"
        )
        (info / "entry_points.txt").write_text(
            f"[cluster_kit]\n{name or distribution} = {module}{attribute}\n"
        )

    yield install
    for name in set(sys.modules) - before:
        # Only what was installed here: a module of the package that is loaded twice is no longer
        # the one that its parent names.
        if Path(getattr(sys.modules[name], "__file__", None) or "").is_relative_to(tmp_path):
            del sys.modules[name]


def foreign(registry):
    """Return the plugins that ``install`` put there, by name."""
    return {
        info.name: info for info in registry.plugins if info.distribution.endswith(f" {VERSION}")
    }


def only(registry):
    [info] = foreign(registry).values()
    return info


def broken(install, source):
    """Install a broken plugin beside a good one, and return its error."""
    install("acme", OFFER)
    install("bad", source)
    registry = PluginRegistry.load({})
    bad = foreign(registry)["bad"]
    assert bad.status is PluginStatus.FAILED
    assert not bad.offers
    assert "\n" not in bad.error
    assert "bad" not in (*registry.names("strategy"), *registry.names("connector"))
    assert registry.resolve("strategy", "acme")
    return bad.error
