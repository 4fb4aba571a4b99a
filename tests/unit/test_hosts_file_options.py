"""The options of ``hosts_file``, as a configuration gives them."""

from pathlib import Path

import pytest

from cluster_kit import load_config
from cluster_kit.errors import ConfigError
from cluster_kit.plugins import PluginRegistry
from cluster_kit.strategies.hosts_file import HostsFileStrategy


def loaded(**options):
    config = load_config(
        {"topologies": {"lan": {"strategy": "hosts_file", "config": options}}},
        PluginRegistry.load(),
    )
    return config.topologies["lan"].strategies[0].build()


def test_path_is_all_that_is_needed():
    assert loaded(path="/etc/shop/hosts") == HostsFileStrategy(
        path=Path("/etc/shop/hosts"), interval_s=1.0
    )


def test_file_need_not_be_there_when_the_configuration_is_checked():
    assert loaded(path="/nowhere/hosts", interval_s=0.5).interval_s == 0.5


def test_path_must_be_given():
    with pytest.raises(ConfigError, match="missing key 'path'"):
        loaded()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"path": ""}, "path: is empty"),
        ({"path": "a\0b"}, "no file can have that name"),
        ({"path": "a\ud800"}, "no file can have that name"),
        ({"interval_s": 0}, "interval_s: invalid value 0: expected 0.05 to 86400 seconds"),
        ({"interval_s": -1}, "interval_s: invalid value -1: expected"),
        ({"interval_s": 1e6}, "expected 0.05 to 86400 seconds"),
    ],
)
def test_faults_are_reported_at_their_option(options, fault):
    with pytest.raises(ConfigError) as caught:
        loaded(**{"path": "/etc/shop/hosts"} | options)
    assert fault in str(caught.value)


def test_faults_are_reported_together():
    with pytest.raises(ConfigError) as caught:
        loaded(path="a\0b", interval_s=0)
    assert len(caught.value.errors) == 2
