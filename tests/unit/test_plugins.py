"""Plugins are found, loaded each by itself, and asked; what one does wrong reaches no other."""

import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster_kit import (
    ConfigError,
    Connector,
    Node,
    NodeDown,
    NodeFound,
    NodeUp,
    PluginError,
    Reason,
    Strategy,
    load_config,
)
from cluster_kit.cli import main
from cluster_kit.plugins import BUILT_IN, PluginRegistry, PluginStatus

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


class TestBrokenPlugins:
    """A broken plugin is kept with its error; the others work."""

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("import sys; sys.exit(3)", "SystemExit: 3"),
            ("raise GeneratorExit('no')", "GeneratorExit: no"),
            (
                "class Mute(BaseException):\n def __str__(self): raise ValueError\nraise Mute",
                "Mute: (str() failed",
            ),
            ("import notthere", "ModuleNotFoundError: No module named 'notthere'"),
            ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
            (
                "pass",
                "TypeError: it implements no hook: mark its functions with @cluster_kit.hookimpl",
            ),
        ],
    )
    def test_module_that_cannot_be_used(self, install, source, error):
        assert broken(install, source).startswith(error)

    @pytest.mark.parametrize(
        ("hook", "error"),
        [
            (
                "def cluster_kit_nodeup(node): pass",
                "TypeError: unknown hook 'cluster_kit_nodeup': did you mean 'cluster_kit_node_up'?",
            ),
            (
                "def cluster_kit_node_up(peer): pass",
                (
                    "TypeError: cluster_kit_node_up has the argument 'peer', which the "
                    "hook does not pass: it may take topology, node"
                ),
            ),
            (
                "def cluster_kit_node_up(topology, node=None): pass",
                (
                    "TypeError: cluster_kit_node_up has a default for 'node', which would always "
                    "be used"
                ),
            ),
            (
                "def cluster_kit_node_up(**arguments): pass",
                (
                    "TypeError: cluster_kit_node_up has the argument '**arguments', which hooks "
                    "cannot have"
                ),
            ),
            (
                "def cluster_kit_strategies(config): return {}",
                (
                    "TypeError: cluster_kit_strategies has the argument 'config', which the "
                    "hook does not pass: it may take no arguments"
                ),
            ),
            (
                "def cluster_kit_event(event): pass\ndef cluster_kit_node_up(node): pass",
                (
                    "TypeError: cluster_kit_node_up is not marked as a hook: put "
                    "@cluster_kit.hookimpl above it"
                ),
            ),
            (
                "async def cluster_kit_event(event): pass",
                "TypeError: cluster_kit_event must be a plain function",
            ),
            (
                "def cluster_kit_event(event): yield",
                "TypeError: cluster_kit_event must be a plain function",
            ),
            ("def cluster_kit_strategies(): 1 / 0", "ZeroDivisionError: division by zero"),
            ("def cluster_kit_strategies(): raise SystemExit", "SystemExit"),
            (
                "def cluster_kit_strategies(): pass",
                "TypeError: cluster_kit_strategies returned NoneType: ",
            ),
        ],
    )
    def test_hook_that_cannot_be_used(self, install, hook, error):
        assert broken(install, f"@hookimpl\n{hook}").startswith(error)

    @pytest.mark.parametrize(
        ("offer", "error"),
        [
            ("'B-d': Link", "ValueError: cluster_kit_connectors offers 'B-d'"),
            ("3: Link", "ValueError: cluster_kit_connectors offers 3"),
            ("'bad': 'bad.Link'", "ValueError: cluster_kit_connectors offers 'bad' as 'bad.Link'"),
            (
                "'bad': Finder",
                (
                    "'bad' is not a Connector: expected a subclass of cluster_kit.Connector; it is "
                    "a strategy"
                ),
            ),
            ("'bad': 3", "'bad' is not a Connector: expected a subclass of cluster_kit.Connector"),
        ],
    )
    def test_offer_that_cannot_be_used(self, install, offer, error):
        hook = f"@hookimpl\ndef cluster_kit_connectors(): return {{{offer}}}"
        assert broken(install, hook).startswith(error)

    def test_nothing_of_it_is_used(self, install, caplog):
        install(
            "bad",
            "@hookimpl\ndef cluster_kit_event(event): 1 / 0\n@hookimpl\ndef "
            "cluster_kit_strategies(): 1 / 0",
        )
        registry = PluginRegistry.load({})
        assert (
            "plugin bad (bad 1.2) failed to load and is not used: ZeroDivisionError" in caplog.text
        )
        caplog.clear()
        registry.notify(NodeFound(topology="lan", node=Node(name="a@h")))
        assert not caplog.records

    def test_keyboard_interrupt_goes_through(self, install):
        install("bad", "raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            PluginRegistry.load({})

    def test_unknown_name_tells_which_plugins_are_missing(self, install):
        install("acme", "1 / 0")
        install("other", OFFER)
        registry = PluginRegistry.load({"CLUSTER_KIT_BLOCK_PLUGINS": "other"})
        with pytest.raises(PluginError) as raised:
            registry.resolve("strategy", "acme")
        assert str(raised.value).startswith("unknown strategy 'acme': ")
        assert "; plugin acme (acme 1.2) failed: ZeroDivisionError: division by zero" in str(
            raised.value
        )
        assert "; plugin other (other 1.2) is blocked" in str(raised.value)
        assert raised.value.plugin == "acme"

    def test_lazy_class_that_fails_names_its_plugin(self, install):
        install("acme", '@hookimpl\ndef cluster_kit_strategies(): return {"acme": "acme_part:X"}')
        install("acme-part", "1 / 0")
        with pytest.raises(PluginError) as raised:
            PluginRegistry.load({}).resolve("strategy", "acme")
        assert str(raised.value).startswith(
            "strategy 'acme' of plugin acme (acme 1.2): cannot import 'acme_part:X': "
            "ZeroDivisionError: division by zero, in /"
        )
        assert str(raised.value).endswith("/acme_part.py:14")
        assert (raised.value.plugin, raised.value.distribution) == ("acme", "acme 1.2")

    def test_missing_extra_prints_how_to_install_it(self, install, monkeypatch):
        monkeypatch.setitem(sys.modules, "zeroconf", None)
        install("acme", '@hookimpl\ndef cluster_kit_strategies(): return {"acme": "acme_part:X"}')
        install("acme-part", "import zeroconf")
        with pytest.raises(
            ConfigError,
            match=r"the package 'zeroconf' is missing: pip install 'cluster-kit\[mdns\]'$",
        ):
            PluginRegistry.load({}).resolve("strategy", "acme")


class TestSlowPlugins:
    def test_one_that_is_long_in_being_imported_is_named(self, install, caplog, monkeypatch):
        monkeypatch.setattr("cluster_kit.plugins.entry_points._SLOW_S", 0.05)
        waits_for_the_warning = """
        import logging, threading
        warned = threading.Event()
        class Ear(logging.Handler):
            def emit(self, record): warned.set()
        ear = Ear()
        logging.getLogger("cluster_kit.plugins").addHandler(ear)
        in_time = warned.wait(30)
        logging.getLogger("cluster_kit.plugins").removeHandler(ear)
        """
        install("slow", textwrap.dedent(waits_for_the_warning) + OFFER)
        registry = PluginRegistry.load({})
        assert sys.modules["slow"].in_time
        assert only(registry).status is PluginStatus.LOADED
        assert caplog.messages == [
            (
                "plugin slow (slow 1.2) is still being imported after 0.05 s: "
                "CLUSTER_KIT_BLOCK_PLUGINS=slow leaves it out"
            )
        ]

    def test_it_is_loaded_where_there_is_no_thread_for_that(self, install, monkeypatch):
        def refuse(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr("threading.Thread.start", refuse)
        install("acme", OFFER)
        assert only(PluginRegistry.load({})).status is PluginStatus.LOADED


class TestConflicts:
    def test_one_name_of_two_plugins_is_refused_when_it_is_used(self, install):
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
    def test_one_is_taken_and_own_keys_win(self, install):
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

    def test_name_that_nobody_offers_is_told_in_its_place(self, install):
        install("acme", SPEC)
        with pytest.raises(
            ConfigError, match=r"topologies\.lan\.use: unknown spec 'ofice': did you mean 'office'"
        ):
            load_config({"topologies": {"lan": {"use": "ofice"}}}, PluginRegistry.load({}))

    @pytest.mark.parametrize(
        "spec", ['{"strategy": "gosip"}', '{"use": "office"}', '{"strategi": "gossip"}']
    )
    def test_one_that_is_faulty_is_told_when_it_is_used(self, install, spec):
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

    def test_what_is_no_mapping_is_refused(self, install):
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
    def test_one_that_is_broken_says_why(self, name, told):
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

    def test_unknown_command_is_told(self):
        assert self.invoke("hale").exit_code == 2
