"""Errors carry what programs decide by, also through a pipe."""

import errno
import inspect
import pickle
import socket

import pytest

from cluster_kit import errors
from cluster_kit.errors import (
    ClusterKitError,
    ConfigError,
    ConnectError,
    ConnectReason,
    NetworkFault,
    cause_of,
    described,
    faults_of,
    raise_all,
)
from cluster_kit.fault import Fault


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            OSError(errno.ECONNREFUSED, "Connect call failed ('10.0.0.4', 4000)"),
            "connection refused",
        ),
        (OSError(errno.EACCES, "Permission denied"), "permission denied"),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "name or service not known",
        ),
        (OSError("Some words"), "some words"),
        (TimeoutError(), ""),
    ],
)
def test_causes_are_reported_in_the_system_s_words(error, cause):
    assert cause_of(error) == cause


ATTRIBUTES = {
    "path": "a.b",
    "file": "c.yaml",
    "line": 3,
    "column": 4,
    "plugin": "mesh",
    "distribution": "mesh 1.0",
    "fault": NetworkFault.RESET,
    "strategy": "dns",
    "retryable": False,
    "node": "a@h",
    "reason": ConnectReason.SELF,
    "cure": "look",
    "topology": "lan",
    "restarts": 3,
    "period_s": 5.0,
}
ERRORS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, ClusterKitError)
]


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_errors_survive_pickling_with_their_attributes(cls):
    message, *attributes = inspect.signature(cls).parameters
    error = cls(message, **{name: ATTRIBUTES[name] for name in attributes})
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_config_error_begins_with_place_and_key_path():
    error = ConfigError(
        "expected an integer",
        path="topologies.lan.config.port",
        file="cluster.yaml",
        line=4,
        column=3,
    )
    assert str(error) == "cluster.yaml:4:3: topologies.lan.config.port: expected an integer"


def test_gathered_config_errors_keep_each_fault():
    faults = [ConfigError("one", file="f"), ConfigError("two", file="f")]
    whole = ConfigError.gather(faults)
    assert whole.errors == tuple(faults)
    assert str(whole).splitlines() == ["f: one", "f: two"]
    assert ConfigError.gather(faults[:1]) is faults[0]


def test_final_connect_reasons_are_not_retryable_unless_said_so():
    assert not ConnectError("x", reason=ConnectReason.FOREIGN).retryable
    assert ConnectError("x", reason=ConnectReason.TIMEOUT).retryable
    assert ConnectError("x", reason=ConnectReason.FOREIGN, retryable=True).retryable


class _Mute(BaseException):
    def __str__(self):
        raise KeyError("no text")


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (ValueError("odd"), "ValueError: odd"),
        (TimeoutError(), "TimeoutError"),
        (_Mute(), "_Mute: (str() failed: KeyError)"),
    ],
    ids=["text", "no text", "text raises"],
)
def test_any_exception_can_be_described(exc, text):
    assert described(exc) == text


def test_fault_says_where_what_and_how_to_cure_it():
    fault = Fault(("nodes", 2), "cannot use 'x'", "write host:port")
    assert str(fault) == "nodes[2]: cannot use 'x'; write host:port"
    assert (
        str(fault.under(("topologies", "lan")))
        == "topologies.lan.nodes[2]: cannot use 'x'; write host:port"
    )


def test_fault_outside_a_configuration_has_its_place_in_words():
    fault = Fault((), "it is down", "bring it up", place="interface eth0")
    assert str(fault) == "interface eth0: it is down; bring it up"


def test_config_error_carries_its_fault():
    fault = Fault(("port",), "invalid value 0", missing=True)
    error = pickle.loads(pickle.dumps(ConfigError(fault, file="c.yaml", line=3, column=4)))
    assert (error.fault, error.path, error.missing) == (fault, "port", True)
    assert str(error) == "c.yaml:3:4: port: invalid value 0"


def test_faults_are_collected_and_raised_together():
    def check():
        raise ConfigError.gather([ConfigError(Fault(("a",), "one")), ConfigError("two", path="b")])

    faults = list(faults_of(check))
    assert [fault.where for fault in faults] == [("a",), ("b",)]
    with pytest.raises(ConfigError) as caught:
        raise_all(faults)
    assert [error.fault for error in caught.value.errors] == faults
