"""Plugins are found, loaded each by itself, and asked; the faults of one reach no other."""

import subprocess
import sys

import pytest
from installed_plugins import OFFER, foreign, only

from cluster_kit import Connector, Node, NodeUp, PluginError, Strategy
from cluster_kit.plugins import BUILT_IN, PluginRegistry, PluginStatus


class TestBuiltIns:
    def test_come_through_the_same_hooks(self):
        registry = PluginRegistry.load({"CLUSTER_KIT_PLUGINS": ""})
        built_in = [info for info in registry.plugins if info.distribution == "built in"]
        assert [info.name for info in built_in] == list(BUILT_IN)
        assert [info.hooks for info in built_in] == [
            ("cluster_kit_strategies",),
            ("cluster_kit_connectors",),
            ("cluster_kit_topologies",),
        ]
        assert {"gossip", "static"} <= set(registry.names("strategy"))
        assert {"none", "tcp"} <= set(registry.names("connector"))
        assert "full_mesh" in registry.names("topology")

    def test_are_imported_when_resolved(self):
        statement = (
            "import sys; from cluster_kit.plugins import PluginRegistry; r = PluginRegistry.load();"
            "print(*sys.modules); print(r.resolve('topology', 'full_mesh').__name__)"
        )
        run = subprocess.run(
            [sys.executable, "-c", statement], capture_output=True, text=True, check=True
        )
        modules, resolved = run.stdout.splitlines()
        assert resolved == "FullMeshTopology"
        assert not {"asyncio", "msgspec", "yaml", "cluster_kit.topologies.full_mesh"} & set(
            modules.split()
        )


class TestLoading:
    def test_offer_can_be_resolved(self, install):
        install("acme-plugin", OFFER, "acme")
        registry = PluginRegistry.load({})
        assert only(registry).status is PluginStatus.LOADED
        assert str(only(registry)) == "acme (acme-plugin 1.2)"
        assert only(registry).offers == {"strategy": ("acme",)}
        assert only(registry).hooks == ("cluster_kit_strategies",)
        assert issubclass(registry.resolve("strategy", "acme"), Strategy)

    def test_offer_by_text_is_imported_when_resolved(self, install):
        install(
            "lazy", '@hookimpl\ndef cluster_kit_connectors(): return {"lazy": "lazy_part:Link"}'
        )
        install("lazy-part", "")
        registry = PluginRegistry.load({"CLUSTER_KIT_PLUGINS": "lazy"})
        assert "lazy_part" not in sys.modules
        assert issubclass(registry.resolve("connector", "lazy"), Connector)

    def test_registries_share_nothing(self, install):
        install("acme", OFFER)
        first, second = (
            PluginRegistry.load({}),
            PluginRegistry.load({"CLUSTER_KIT_BLOCK_PLUGINS": "acme"}),
        )
        assert "acme" in first.names("strategy")
        assert "acme" not in second.names("strategy")

    def test_plugin_may_be_an_object(self, install):
        source = """
        class Plugin:
            @hookimpl
            def cluster_kit_strategies(self): return {"acme": Finder}
        plugin = Plugin()
        """
        install("acme", source, attribute=":plugin")
        assert PluginRegistry.load({}).resolve("strategy", "acme")


class TestConflicts:
    def test_name_offered_by_two_plugins_is_refused_when_used(self, install):
        install("one", OFFER)
        install("two", OFFER)
        registry = PluginRegistry.load({})
        assert {info.status for info in foreign(registry).values()} == {PluginStatus.LOADED}
        with pytest.raises(
            PluginError,
            match=r"^strategy 'acme' is offered by one \(one 1.2\) and two \(two 1.2\): ",
        ):
            registry.resolve("strategy", "acme")

    def test_built_in_keeps_its_name(self, install, caplog):
        install(
            "one",
            "@hookimpl\ndef cluster_kit_strategies(): return {'gossip': Finder, 'acme': Finder}",
        )
        registry = PluginRegistry.load({})
        assert registry.resolve("strategy", "gossip").__module__ == "cluster_kit.strategies.gossip"
        assert registry.resolve("strategy", "acme").__module__ == "one"
        assert caplog.messages == [
            (
                "plugin one (one 1.2): strategy 'gossip' is ignored: a built-in has that name, "
                "choose another"
            )
        ]
        with pytest.raises(PluginError, match="a built-in has that name"):
            PluginRegistry.load({"CLUSTER_KIT_STRICT_PLUGINS": "1"})

    def test_two_distributions_may_call_their_plugin_alike(self, install):
        install("one", OFFER, "same")
        install("two", "1 / 0", "same")
        registry = PluginRegistry.load({})
        assert [(str(info), info.status) for info in registry.plugins if info.name == "same"] == [
            ("same (one 1.2)", PluginStatus.LOADED),
            ("same (two 1.2)", PluginStatus.FAILED),
        ]
        assert registry.resolve("strategy", "acme")

    def test_one_module_behind_two_entry_points_counts_once(self, install, tmp_path):
        install("one", OFFER)
        (tmp_path / "one-1.2.dist-info" / "entry_points.txt").write_text(
            "[cluster_kit]\none = one\ntwo = one\n"
        )
        registry = PluginRegistry.load({})
        assert [info.status for info in foreign(registry).values()] == [
            PluginStatus.LOADED,
            PluginStatus.FAILED,
        ]
        assert registry.resolve("strategy", "acme")


class TestEnvironment:
    def test_only_some(self, install):
        install("one", OFFER)
        install("two", "1 / 0")
        registry = PluginRegistry.load({"CLUSTER_KIT_PLUGINS": " one ,nowhere"})
        assert [info.status for info in foreign(registry).values()] == [
            PluginStatus.LOADED,
            PluginStatus.SKIPPED,
        ]
        assert "two" not in sys.modules
        assert "gossip" in registry.names("strategy")

    def test_blocked_one_is_not_imported(self, install):
        install("one", OFFER)
        registry = PluginRegistry.load(
            {"CLUSTER_KIT_BLOCK_PLUGINS": "one", "CLUSTER_KIT_PLUGINS": "one"}
        )
        assert only(registry).status is PluginStatus.BLOCKED
        assert "one" not in sys.modules

    def test_strict_makes_a_fault_fatal(self, install):
        install("bad", "1 / 0")
        with pytest.raises(
            PluginError, match=r"^plugin bad \(bad 1.2\): ZeroDivisionError"
        ) as raised:
            PluginRegistry.load({"CLUSTER_KIT_STRICT_PLUGINS": "1"})
        assert (raised.value.plugin, raised.value.distribution) == ("bad", "bad 1.2")
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        PluginRegistry.load({"CLUSTER_KIT_STRICT_PLUGINS": "0"})

    def test_trace_shows_each_call(self, install, capsys):
        install("one", "@hookimpl\ndef cluster_kit_node_up(node): pass")
        registry = PluginRegistry.load({"CLUSTER_KIT_TRACE_HOOKS": "1"})
        registry.notify(NodeUp(topology="lan", node=Node(name="a@h")))
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == "cluster_kit_strategies() -> cluster_kit.strategies (built in)"
        assert lines[-1].startswith("cluster_kit_node_up(topology='lan', node=Node(name='a@h'")
        assert lines[-1].endswith(" -> one (one 1.2)")
