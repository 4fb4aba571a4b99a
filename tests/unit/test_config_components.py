"""The forms in which a configuration gives a strategy, connector or topology."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from config_parts import (
    Broken,
    Everyone,
    Full,
    Incomplete,
    Listening,
    Outer,
    Polling,
    Shelf,
    Silent,
    Unknowable,
    Unpicklable,
)

from cluster_kit import ConfigError, PluginError
from cluster_kit.config import Component, Secret, load_config


def load(**entry):
    """Load one topology, by default on loopback."""
    return load_config({"topologies": {"lan": entry}}, Shelf()).topologies["lan"]


def strategy(given, **entry):
    [component] = load(strategy=given, **entry).strategies
    return component


def faults(**entry):
    with pytest.raises(ConfigError) as raised:
        load(**entry)
    return [str(error).replace("topologies.lan", "lan") for error in raised.value.errors]


class TestForms:
    def test_name(self):
        assert strategy("silent") == Component(name="silent", target="config_parts:Silent")

    def test_class_by_text(self):
        assert strategy("config_parts:Full") == Component(
            name="config_parts:Full", target="config_parts:Full"
        )

    def test_class_within_a_class(self):
        assert isinstance(strategy("config_parts:Outer.Inner").build(), Outer.Inner)

    def test_mapping_with_options(self):
        component = strategy({"name": "polling", "query": "q"})
        assert component == Component(
            name="polling", target="config_parts:Polling", options={"query": "q"}
        )

    def test_options_under_config(self):
        assert strategy("polling", config={"query": "q"}).options == {"query": "q"}
        assert strategy({"name": "polling"}, config={"query": "q"}).options == {"query": "q"}

    def test_empty_config_is_none(self):
        assert load(strategy=[{"name": "polling", "query": "q"}], config=None).strategies[
            0
        ].options == {"query": "q"}

    def test_list(self):
        entry = load(strategy=["silent", {"name": "polling", "query": "q"}, Full])
        assert [component.name for component in entry.strategies] == [
            "silent",
            "polling",
            "config_parts:Full",
        ]

    def test_class(self):
        component = strategy(Polling, config={"query": "q"})
        assert component == Component(
            name="config_parts:Polling", target="config_parts:Polling", options={"query": "q"}
        )

    def test_class_in_a_mapping(self):
        assert strategy({"name": Polling, "query": "q"}).target == "config_parts:Polling"

    def test_configured_instance(self):
        instance = Polling(query="q")
        component = strategy(instance)
        assert component == Component(
            name="config_parts:Polling", target="config_parts:Polling", instance=instance
        )
        assert component.build() is instance

    def test_connector_and_topology_take_them_too(self):
        entry = load(
            strategy="silent", connector={"name": "tcp", "host": "::1"}, topology=Everyone()
        )
        assert entry.connector.options == {"host": "::1"}
        assert isinstance(entry.topology.build(), Everyone)

    def test_connector_and_topology_have_defaults(self):
        entry = load(strategy="silent")
        assert (entry.connector.name, entry.topology.name) == ("tcp", "full_mesh")

    def test_component_builds_the_same_in_another_process(self):
        component = strategy(
            "full", config={"secret": "hush", "path": "/x", "retry": {"times": 3}, "ports": [1]}
        )
        assert pickle.loads(pickle.dumps(component)).build() == component.build()
        assert component.build().secret == Secret("hush")


class TestFaults:
    @pytest.mark.parametrize("kind", ["strategy", "connector", "topology"])
    def test_unknown_name(self, kind):
        assert faults(**{"strategy": "silent", kind: "nonsense"}) == [
            f"lan.{kind}: unknown {kind} 'nonsense'"
        ]

    def test_class_of_another_kind(self):
        expected = "is not a Strategy: expected a subclass of cluster_kit.Strategy"
        for given in ("config_parts:Everyone", Everyone):
            assert faults(strategy=given) == [
                f"lan.strategy: 'config_parts:Everyone' {expected}; it is a topology"
            ]
        assert faults(strategy="config_parts:Path")[0].endswith(expected)

    def test_class_that_does_not_exist(self):
        expected = "lan.strategy: module 'config_parts' has no 'Silemt': did you mean 'Silent'?"
        assert faults(strategy="config_parts:Silemt") == [expected]

    def test_only_classes_of_the_kind_are_suggested(self):
        for given in ("Nodes", "Everyon", "Patch"):
            [fault] = faults(strategy=f"config_parts:{given}")
            assert f"module 'config_parts' has no '{given}'" in fault
            assert not any(
                f"'{other}'" in fault or f" {other}," in fault
                for other in ("Node", "Everyone", "Path", "Strategy")
            )

    def test_nothing_is_suggested_where_no_class_is_of_the_kind(self):
        assert faults(strategy="pathlib:Patch") == ["lan.strategy: module 'pathlib' has no 'Patch'"]

    def test_module_that_does_not_exist(self):
        [fault] = faults(strategy="nowhere.at:All")
        assert fault.startswith(
            "lan.strategy: cannot import 'nowhere.at:All': ModuleNotFoundError: No module named "
            "'nowhere'"
        )
        assert fault.endswith("; install it, or put its folder on PYTHONPATH")

    @pytest.mark.parametrize("given", ["a:b:c", ":X", "a:", "a/b:C", "../a:B", ".a:B", "a b:C"])
    def test_text_that_names_no_class(self, given):
        assert faults(strategy=given) == [
            f"lan.strategy: cannot import {given!r}: expected package.module:Class"
        ]

    @pytest.mark.parametrize("given", [3, None, b"x", object, list[int], Everyone()])
    def test_something_else(self, given):
        [fault] = faults(strategy=given)
        assert fault.startswith("lan.strategy: ")

    def test_empty_list(self):
        assert faults(strategy=[]) == [
            "lan.strategy: expected at least one strategy, got an empty list"
        ]

    def test_every_item_of_a_list(self):
        found = faults(strategy=["silent", "nonsense", 3, {"nam": "x"}], config={"a": 1})
        assert [fault.partition(": ")[0] for fault in found] == [
            "lan.config",
            "lan.strategy[1]",
            "lan.strategy[2]",
            "lan.strategy[3]",
        ]

    def test_options_in_two_places(self):
        expected = (
            "lan.config: options are given here and under 'strategy'; write all of them in one "
            "place"
        )
        assert faults(strategy={"name": "full", "text": "x"}, config={"number": 1}) == [expected]

    def test_options_of_an_instance(self):
        expected = "lan.config: cannot be given for an instance; configure the strategy itself"
        assert faults(strategy=Full(), config={"number": 1}) == [expected]

    def test_missing_option_is_reported_at_the_name(self):
        assert faults(strategy="polling") == ["lan.strategy: missing key 'query'"]

    def test_constructor_that_refuses_options(self):
        expected = "lan.config.interval_s: 0.0 is not positive"
        assert faults(strategy="polling", config={"query": "q", "interval_s": 0}) == [expected]

    def test_constructor_that_fails(self):
        [fault] = faults(strategy=Broken)
        assert fault.startswith("lan.strategy: Broken cannot be built: OSError: no disk, in /")

    def test_abstract_class(self):
        [fault] = faults(strategy=Incomplete)
        assert fault == (
            "lan.strategy: 'config_parts:Incomplete' cannot work as a strategy: it does not "
            "implement 'discover'"
        )

    def test_instance_that_cannot_be_pickled(self):
        assert faults(strategy=Unpicklable())[0].startswith(
            "lan.strategy: 'config_parts:Unpicklable' cannot be sent to a worker: "
        )

    def test_class_that_a_worker_cannot_find(self):
        class Local(Silent):
            pass

        for given in (Local, Local()):
            [fault] = faults(strategy=given)
            assert fault.endswith(
                "workers can't import it by that name; move it to the top of its module"
            )


class TestMain:
    """A worker has another ``__main__``, so what stands in ours can't be found there."""

    def test_text(self):
        assert faults(strategy="__main__:X")[0].startswith("lan.strategy: ")

    @pytest.mark.parametrize("given", ["Mine", "Mine()", "'__main__:Mine'"])
    def test_is_refused(self, given):
        script = (
            "from config_parts import *\n"
            "from cluster_kit.config import load_config\n"
            "class Mine(Silent): pass\n"
            f"try: load_config({{'topologies': {{'lan': {{'strategy': {given}}}}}}}, Shelf())\n"
            "except ValueError as exc: print(exc)\n"
        )
        command = [sys.executable, "-c", script]
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        expected = (
            "'__main__:Mine' cannot be used: workers import it by name; move it into a module"
        )
        assert run.stdout == f"topologies.lan.strategy: {expected}\n"


class TestModulesThatFail:
    @pytest.fixture
    def module(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "failing", raising=False)

        def module(source):
            (tmp_path / "failing.py").write_text(source)

        yield module
        sys.modules.pop("failing", None)

    @pytest.mark.parametrize(
        ("source", "cause"),
        [
            ("import sys; sys.exit(3)", "SystemExit: 3"),
            ("1 / 0", "ZeroDivisionError: division by zero"),
            ("raise ValueError('two\\nlines')", "ValueError: two lines"),
            ("import notthere", "ModuleNotFoundError: No module named 'notthere'"),
            (
                "def __getattr__(name): import notthere",
                "ModuleNotFoundError: No module named 'notthere'",
            ),
            ("x =", "SyntaxError: invalid syntax (failing.py, line 1)"),
        ],
    )
    def test_cause_is_reported_in_one_line(self, module, source, cause):
        module(source)
        [fault] = faults(strategy="failing:X")
        assert fault.startswith(f"lan.strategy: cannot import 'failing:X': {cause}")
        assert fault.endswith("failing.py:1") or "SyntaxError" in cause

    @pytest.mark.parametrize(
        ("package", "extra"), [("zeroconf", "mdns"), ("kubernetes", "kubernetes"), ("dns", "dns")]
    )
    def test_missing_extra_prints_how_to_install_it(self, module, package, extra, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)
        module(f"raise ModuleNotFoundError('no', name='{package}.sub')")
        [fault] = faults(strategy="failing:X")
        assert fault.endswith(
            f"the package '{package}.sub' is missing: pip install 'cluster-kit[{extra}]'"
        )

    def test_keyboard_interrupt_goes_through(self, module):
        module("raise KeyboardInterrupt")
        with pytest.raises(KeyboardInterrupt):
            load(strategy="failing:X")


class Unsealed(Listening):
    """Knows of no secret."""

    uses_secret: ClassVar[bool] = False


class Multicasting(Silent):
    def serves_on(self, host):
        return host


class TestExposure:
    """What peers off this machine could reach needs a secret that it uses, or ``insecure:
    true``.
    """

    def exposed(self, **keys):
        return load_config(
            {"node": "a@10.0.0.7", "topologies": {"lan": {"strategy": "silent"}}, **keys},
            Shelf(),
            environ={},
        )

    def test_secret_allows_it(self):
        assert self.exposed(secret="hush").secret == Secret("hush")

    def test_secret_allows_no_connector_that_does_not_use_it(self):
        topologies = {"lan": {"strategy": "silent", "connector": Unsealed}}
        why = r"lan\.connector: serves off loopback .*: Unsealed doesn't use the secret; use anot"
        with pytest.raises(ConfigError, match=why):
            self.exposed(secret="hush", topologies=topologies)
        assert self.exposed(secret="hush", insecure=True, topologies=topologies).insecure

    def test_secret_allows_strategies_as_they_give_hints(self):
        topologies = {"lan": {"strategy": Multicasting}}
        assert self.exposed(secret="hush", topologies=topologies)
        with pytest.raises(ConfigError, match=r"lan\.strategy: serves off loopback"):
            self.exposed(topologies=topologies)

    def test_error_says_how_to_make_a_secret(self):
        cure = "run 'cluster-kit secret --output FILE' and add 'secret_file: FILE'"
        with pytest.raises(ConfigError, match=cure):
            self.exposed()

    def test_part_off_loopback_is_refused(self):
        [fault] = faults(strategy="silent", connector={"name": "tcp", "host": "10.0.0.7"})
        assert fault.startswith(
            "lan.connector: serves off loopback on '10.0.0.7', where anybody could join; "
        )
        assert "'insecure: true'" in fault

    @pytest.mark.parametrize("node", ["a@127.0.0.1", "a@localhost", "a@::1"])
    def test_loopback_host_of_the_node_closes_everything(self, node):
        assert (
            load_config({"node": node, "topologies": {"lan": {"strategy": "silent"}}}, Shelf()).node
            == node
        )

    @pytest.mark.parametrize("node", ["a@10.0.0.7", "a@shop.example"])
    def test_other_host_of_the_node_opens_what_follows_it(self, node):
        with pytest.raises(ConfigError, match="serves off loopback"):
            load_config({"node": node, "topologies": {"lan": {"strategy": "silent"}}}, Shelf())

    def test_insecure_allows_it(self):
        source = {
            "node": "a@10.0.0.7",
            "insecure": True,
            "topologies": {"lan": {"strategy": "silent"}},
        }
        assert load_config(source, Shelf()).insecure

    def test_every_interface_is_off_loopback(self):
        assert len(faults(strategy="silent", connector=Listening(host="0.0.0.0"))) == 1

    def test_part_that_cannot_tell(self):
        assert faults(strategy=Unknowable) == [
            "lan.strategy: Unknowable: serves_on() failed: RuntimeError: cannot say"
        ]


def test_component_that_cannot_be_built_any_more_says_so():
    with pytest.raises(PluginError, match="cannot import"):
        Component(name="x", target="nowhere:X").build()


def test_registry_errors_of_both_kinds_get_a_place():
    class Shop:
        def resolve(self, kind, name):
            raise ConfigError("pip install it")

    with pytest.raises(ConfigError, match=r"(?m)^topologies.lan.strategy: pip install it$"):
        load_config({"topologies": {"lan": {"strategy": "x"}}}, Shop())
