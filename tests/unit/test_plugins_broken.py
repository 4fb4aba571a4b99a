"""Plugins that raise, hang or offer nonsense: each costs itself only, and says why."""

import sys
import textwrap

import pytest
from installed_plugins import OFFER, broken, only

from cluster_kit import ConfigError, Node, NodeFound, PluginError
from cluster_kit.plugins import PluginRegistry, PluginStatus


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

    def test_error_for_an_unknown_name_says_which_plugins_are_missing(self, install):
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
    def test_plugin_slow_to_import_is_named(self, install, caplog, monkeypatch):
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

    def test_plugin_is_loaded_even_if_no_thread_can_start(self, install, monkeypatch):
        def refuse(self):
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr("threading.Thread.start", refuse)
        install("acme", OFFER)
        assert only(PluginRegistry.load({})).status is PluginStatus.LOADED
