"""What plugins add: notices, ready-made topologies and commands."""

import logging
import sys

import pytest
from click.testing import CliRunner
from installed_plugins import OFFER, broken

from cluster_kit import ConfigError, Node, NodeDown, NodeFound, NodeUp, Reason, load_config
from cluster_kit.cli import main
from cluster_kit.plugins import PluginRegistry


class TestNotices:
    NODE = Node(name="a@h")
    EAR = """
    heard = []
    @hookimpl
    def cluster_kit_event(event): heard.append(event)
    @hookimpl
    def cluster_kit_node_up(topology, node): heard.append((topology, node))
    @hookimpl
    def cluster_kit_node_down(topology, node, reason): heard.append((topology, node, reason))
    """

    def test_reach_their_hooks(self, install):
        install("ear", self.EAR)
        registry = PluginRegistry.load({})
        up = NodeUp(topology="lan", node=self.NODE)
        down = NodeDown(topology="lan", node=self.NODE, reason=Reason.LEFT)
        found = NodeFound(topology="lan", node=self.NODE)
        for event in (found, up, down):
            registry.notify(event)
        assert sys.modules["ear"].heard == [
            found,
            up,
            ("lan", self.NODE),
            down,
            ("lan", self.NODE, Reason.LEFT),
        ]

    @pytest.mark.parametrize("fault", ["1 / 0", "raise SystemExit"])
    def test_error_of_one_plugin_is_logged_and_reaches_no_other(self, install, caplog, fault):
        for name in ("a", "z"):  # whichever is called first
            install(name, f"@hookimpl\ndef cluster_kit_event(event): {fault}")
        install("ear", self.EAR)
        registry = PluginRegistry.load({})
        event = NodeFound(topology="lan", node=self.NODE)
        registry.notify(event)
        assert sys.modules["ear"].heard == [event]
        assert {record.getMessage().partition(":")[0] for record in caplog.records} == {
            "plugin a (a 1.2)",
            "plugin z (z 1.2)",
        }

    def test_repeating_error_is_loud_once(self, install, caplog):
        caplog.set_level(logging.DEBUG, "cluster_kit.plugins")
        install("bad", "@hookimpl\ndef cluster_kit_event(event): 1 / 0")
        registry = PluginRegistry.load({})
        for _ in range(3):
            registry.notify(NodeFound(topology="lan", node=self.NODE))
        levels = [record.levelname for record in caplog.records if "raised" in record.getMessage()]
        assert levels == ["ERROR", "DEBUG", "DEBUG"]


def test_load_config_uses_the_installed_plugins(install):
    install("acme", OFFER)
    source = {"topologies": {"lan": {"strategy": "acme"}}}
    registry = PluginRegistry.load({})
    [component] = load_config(source, registry).topologies["lan"].strategies
    assert component.target == "acme:Finder"


SPEC = """
@hookimpl
def cluster_kit_topology_specs():
    return {"office": {"strategy": "gossip", "prune": False, "child_spec": {"max_restarts": 9}}}
"""


class TestReadyMadeTopologies:
    def test_spec_is_used_and_own_keys_win(self, install):
        install("acme", SPEC)
        config = load_config(
            {"topologies": {"lan": {"use": "office", "prune": True, "group": "blue"}}},
            PluginRegistry.load({}),
        )
        lan = config.topologies["lan"]
        assert (lan.strategies[0].name, lan.prune, lan.group, lan.child_spec.max_restarts) == (
            "gossip",
            True,
            "blue",
            9,
        )

    def test_unknown_spec_is_reported_in_its_place(self, install):
        install("acme", SPEC)
        with pytest.raises(
            ConfigError, match=r"topologies\.lan\.use: unknown spec 'ofice': did you mean 'office'"
        ):
            load_config({"topologies": {"lan": {"use": "ofice"}}}, PluginRegistry.load({}))

    @pytest.mark.parametrize(
        "spec", ['{"strategy": "gosip"}', '{"use": "office"}', '{"strategi": "gossip"}']
    )
    def test_faulty_spec_is_reported_when_used(self, install, spec):
        install(
            "acme",
            SPEC.replace(
                '{"strategy": "gossip", "prune": False, "child_spec": {"max_restarts": 9}}', spec
            ),
        )
        registry = PluginRegistry.load({})
        load_config({"topologies": {"lan": {"strategy": "gossip"}}}, registry)
        with pytest.raises(ConfigError, match=r"topologies\.lan"):
            load_config({"topologies": {"lan": {"use": "office"}}}, registry)

    def test_spec_that_is_no_mapping_is_refused(self, install):
        no_mapping = """
        @hookimpl
        def cluster_kit_topology_specs():
            return {"office": "gossip"}
        """
        assert "expected a mapping, as under topologies" in broken(install, no_mapping)


COMMAND = """
@hookimpl
def cluster_kit_commands():
    hail = "acme:hail"
    return {"hail-all": hail, "odd": "acme:Finder", "missing": "acme:nothing", "run": hail}

import click

@click.command()
def hail():
    "Hail everybody."
    click.echo("hail")
"""


class TestCommands:
    @pytest.fixture(autouse=True)
    def _acme(self, install):
        install("acme", COMMAND)

    def invoke(self, *arguments):
        return CliRunner().invoke(main, arguments)

    def test_command_of_a_plugin_runs(self):
        assert self.invoke("hail-all").output == "hail\n"

    def test_help_shows_it_and_marks_what_is_broken(self):
        shown = self.invoke("--help").output
        assert "Hail everybody." in shown
        assert shown.count("(broken: see cluster-kit plugins)") == 2

    @pytest.mark.parametrize(
        ("name", "told"), [("odd", "not a click command"), ("missing", "has no")]
    )
    def test_broken_command_says_why(self, name, told):
        done = self.invoke(name)
        assert done.exit_code == 1
        assert told in done.output

    def test_plugins_are_loaded_once_for_a_command_line(self, monkeypatch):
        loads = []
        load = PluginRegistry.load
        monkeypatch.setattr(PluginRegistry, "load", lambda: loads.append(1) or load({}))
        assert "Hail everybody." in self.invoke("--help").output
        assert len(loads) == 1

    def test_help_is_shown_though_a_plugin_fails_strictly(self, install, monkeypatch):
        install("bad", "raise RuntimeError")
        monkeypatch.setenv("CLUSTER_KIT_STRICT_PLUGINS", "1")
        done = self.invoke("--help")
        assert done.exit_code == 0
        assert "Run the topologies" in done.output
        assert self.invoke("hail-all").exit_code == 1

    def test_a_built_in_keeps_its_name(self):
        assert "Run the topologies of FILE" in self.invoke("run", "--help").output

    def test_unknown_command_is_reported(self):
        assert self.invoke("hale").exit_code == 2
