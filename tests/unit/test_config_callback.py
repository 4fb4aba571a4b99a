"""Functions that a configuration names, and the connector that they stand for."""

import functools

import application_links
import pytest

from cluster_kit import ConfigError, Node
from cluster_kit.config.callback import Callback
from cluster_kit.connectors.callback import CallbackConnector
from cluster_kit.plugins import PluginRegistry, load_config

REGISTRY = PluginRegistry.load()
MODULE = "application_links"
CONNECT = f"{MODULE}:connect"


def load(**keys):
    entry = {"strategy": {"name": "static", "nodes": []}, **keys}
    return load_config({"topologies": {"x": entry}}, REGISTRY).topologies["x"].connector


def fault(**keys):
    with pytest.raises(ConfigError) as caught:
        load(**keys)
    return str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        CONNECT,
        [MODULE, "connect"],
        [MODULE, "connect", []],
        [MODULE, "connect", None],
        (MODULE, "connect"),
        application_links.connect,
    ],
    ids=["text", "two", "libcluster", "no arguments", "tuple", "function"],
)
def test_each_form_names_the_function(given):
    component = load(connect=given)
    assert component.name == "callback"
    assert component.options == {"open": Callback(CONNECT)}
    assert isinstance(component.build(), CallbackConnector)


def test_arguments_come_along():
    assert load(connect=[MODULE, "with_arguments", ["a", 2]]).options["open"].args == ("a", 2)


def test_all_three_and_the_options_of_the_connector():
    keys = {
        "connect": CONNECT,
        "disconnect": f"{MODULE}:disconnect",
        "list_nodes": f"{MODULE}:list_nodes",
    }
    assert load(**keys).options == load(connector={"name": "callback", **keys}).options
    assert load(connector="callback", **keys).options == load(**keys).options
    assert load(connector={"name": "callback", "interval_s": 1, **keys}).build().interval_s == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "connect: invalid value 3: expected package.module:function or"),
        ("connect", "connect: invalid value 'connect': expected package.module:function or"),
        ([MODULE], "expected package.module:function or"),
        ([MODULE, "connect", "x"], "expected package.module:function or"),
        (f"{MODULE}:conect", "has no"),
        ("nowhere:connect", "install it, or put its folder on PYTHONPATH"),
        (f"{MODULE}:NO_FUNCTION", "is not a function"),
        (f"{MODULE}:list_nodes", "does not take what it is called with, (node)"),
        (
            [MODULE, "connect", ["one too many"]],
            "does not take what it is called with, ('one too many', node)",
        ),
        (lambda node: None, "workers import functions by name"),
        (functools.partial(application_links.connect), "workers import functions by name"),
        ([MODULE, "with_arguments", [1, lambda: None]], "its arguments cannot be sent to a worker"),
    ],
)
def test_unusable_function_is_reported_at_its_key(given, message):
    told = fault(connect=given)
    assert told.startswith("topologies.x.connect")
    assert message in told


def test_connect_is_needed():
    assert "missing key 'connect'" in fault(disconnect=CONNECT)
    assert "missing key 'connect'" in fault(connector="callback")


def test_another_connector_is_not_for_callbacks():
    assert fault(connector="tcp", connect=CONNECT).startswith(
        "topologies.x.connect: is for connector 'callback'"
    )


def test_the_interval_is_checked():
    assert "connector.interval_s: invalid value 0: expected more than 0 seconds" in fault(
        connector={"name": "callback", "connect": CONNECT, "interval_s": 0}
    )


def test_a_function_that_was_named_may_be_given_as_such():
    assert load(connect=Callback(CONNECT)).options["open"].load()(Node(name="a@h")) is None


class Shipping:
    """Stands for plugins that ship ``spec`` as a ready-made topology."""

    def __init__(self, **spec):
        self._spec = spec

    def resolve(self, kind, name):
        return REGISTRY.resolve(kind, name)

    def origin(self, kind, name):
        return "plugin shelf"

    def topology_spec(self, name):
        return {"strategy": {"name": "static", "nodes": []}, **self._spec}

    def connector(self, **own):
        return (
            load_config({"topologies": {"x": {"use": "acme", **own}}}, self)
            .topologies["x"]
            .connector.name
        )


class TestReadyMade:
    def test_callbacks_of_its_own_are_called(self):
        assert Shipping(connect=CONNECT).connector() == "callback"

    def test_another_connector_in_the_entry_takes_their_place(self):
        assert Shipping(connect=CONNECT).connector(connector="none") == "none"

    def test_callbacks_in_the_entry_take_the_place_of_its_connector(self):
        assert Shipping(connector="none").connector(connect=CONNECT) == "callback"
