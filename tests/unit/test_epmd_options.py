"""The options of the three strategies, and which EPMDs they then ask."""

import pytest

from cluster_kit.errors import ConfigError, DiscoveryError
from cluster_kit.node import Node
from cluster_kit.plugins import PluginRegistry, load_config
from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.epmd.options import LOOPBACK, EpmdQuestion
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy

LOCAL = Node(name="web@10.0.0.1")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.delenv("ERL_EPMD_PORT", raising=False)


@pytest.mark.parametrize("name", ["epmd", "local_epmd", "erlang_hosts"])
def test_strategy_is_found_by_its_name(name):
    config = {"hosts": ["a@127.0.0.1"]} if name == "epmd" else {}
    loaded = load_config(
        {"topologies": {"lan": {"strategy": name, "config": config}}}, PluginRegistry.load()
    )
    strategy = loaded.topologies["lan"].strategies[0].build()
    assert type(strategy).__name__ == "".join(part.title() for part in name.split("_")) + "Strategy"


def test_default_port_is_the_iana_port():
    assert LocalEpmdStrategy().port() == 4369


def test_port_is_taken_from_the_environment(monkeypatch):
    monkeypatch.setenv("ERL_EPMD_PORT", "14369")
    assert LocalEpmdStrategy().port() == 14369


def test_port_that_is_configured_comes_first(monkeypatch):
    monkeypatch.setenv("ERL_EPMD_PORT", "14369")
    assert LocalEpmdStrategy(epmd_port=5).port() == 5


@pytest.mark.parametrize("port", ["", "x", "0", "65536", "-1", "४", "123456"])
def test_senseless_port_of_the_environment_is_named(monkeypatch, port):
    monkeypatch.setenv("ERL_EPMD_PORT", port)
    with pytest.raises(ConfigError, match="ERL_EPMD_PORT"):
        LocalEpmdStrategy()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epmd_port": 0}, "epmd_port: invalid value 0: expected"),
        ({"epmd_port": 65536}, "epmd_port: invalid value 65536: expected"),
        ({"interval_s": 0.0}, "interval_s: invalid value 0: expected"),
        ({"interval_s": float("nan")}, "interval_s: invalid value nan: expected"),
        ({"deadline_s": -1.0}, "deadline_s: invalid value -1: expected"),
        ({"gone_after_s": -0.1}, "gone_after_s: invalid value -0.1: expected"),
        ({"gone_after_s": float("inf")}, "gone_after_s: invalid value inf: expected"),
    ],
)
@pytest.mark.parametrize("strategy", [LocalEpmdStrategy, ErlangHostsStrategy])
def test_senseless_option_is_named(strategy, options, named):
    with pytest.raises(ConfigError, match=named):
        strategy(**options)


@pytest.mark.parametrize(
    "entry", ["a", "a@", "@h", "a b@h", "a@h@i", "a@10.0.0.1:4369", "a@" + "h" * 300]
)
def test_entry_that_is_no_node_is_named(entry):
    with pytest.raises(ConfigError, match=r"^hosts\[1\]: cannot use "):
        EpmdStrategy(hosts=("b@127.0.0.1", entry))


def test_empty_list_of_hosts_is_refused():
    with pytest.raises(ConfigError, match="local_epmd"):
        EpmdStrategy(hosts=())


def test_all_options_that_are_wrong_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        EpmdStrategy(hosts=("host", "a@127.0.0.1:4370"), epmd_port=0, interval_s=0)
    assert [error.path for error in caught.value.errors] == [
        "epmd_port",
        "interval_s",
        "hosts[0]",
        "hosts[1]",
    ]


def test_epmd_asks_each_host_once_for_all_that_are_listed_there():
    strategy = EpmdStrategy(hosts=("a@h1", "b@h2", "c@h1", "a@h1", "d@::1"))
    assert strategy.questions(LOCAL) == (
        EpmdQuestion("h1", "h1", ("a", "c")),
        EpmdQuestion("h2", "h2", ("b",)),
        EpmdQuestion("::1", "::1", ("d",)),
    )


def test_local_epmd_asks_for_all_names_of_its_own_host():
    assert LocalEpmdStrategy().questions(LOCAL) == (EpmdQuestion(LOOPBACK, "10.0.0.1"),)


# The file .hosts.erlang


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The current directory, the home directory and the root directory of Erlang/OTP."""
    folders = [tmp_path / name for name in ("here", "home", "otp")]
    for folder in folders:
        folder.mkdir()
    monkeypatch.chdir(folders[0])
    monkeypatch.setenv("HOME", str(folders[1]))
    monkeypatch.setenv("ERL_ROOTDIR", str(folders[2]))
    return [folder / ".hosts.erlang" for folder in folders]


def hosts(strategy):
    return [question.epmd for question in strategy.questions(LOCAL)]


def test_file_is_looked_for_in_erlangs_order(places):
    for number, place in reversed(list(enumerate(places))):
        place.write_text(f"'h{number}'.\n")
        assert hosts(ErlangHostsStrategy()) == [f"h{number}"]


def test_root_directory_is_found_by_the_erl_command(places, tmp_path, monkeypatch):
    command = tmp_path / "lib" / "erlang" / "bin" / "erl"
    command.parent.mkdir(parents=True)
    command.touch(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "erl").symlink_to(command)
    monkeypatch.delenv("ERL_ROOTDIR")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "lib" / "erlang" / ".hosts.erlang").write_text("'otp'.")
    assert hosts(ErlangHostsStrategy()) == ["otp"]


def test_no_file_is_a_failed_lookup_that_names_the_places(places):
    with pytest.raises(
        DiscoveryError, match=r"looked for '\.hosts\.erlang', '.*home.*', '.*otp.*'; write"
    ):
        ErlangHostsStrategy().questions(LOCAL)


def test_path_that_is_configured_is_the_only_place(places, tmp_path):
    places[0].write_text("'h0'.\n")
    other = tmp_path / "elsewhere"
    with pytest.raises(DiscoveryError, match="elsewhere"):
        ErlangHostsStrategy(path=other).questions(LOCAL)
    other.write_text("'mine'.\n")
    assert hosts(ErlangHostsStrategy(path=other)) == ["mine"]


def test_file_is_read_as_it_is_now(places):
    strategy = ErlangHostsStrategy()
    places[0].write_text("'h1'.\n'h2'.\n")
    assert hosts(strategy) == ["h1", "h2"]
    places[0].write_text("'h2'.\n")
    assert hosts(strategy) == ["h2"]


def test_file_that_is_a_folder_is_a_failed_lookup(places):
    places[0].mkdir()
    with pytest.raises(DiscoveryError, match="cannot read"):
        ErlangHostsStrategy().questions(LOCAL)


def test_fault_in_the_file_is_a_failed_lookup_that_names_the_line(places):
    places[0].write_text("'h1'.\nHost2.\n")
    with pytest.raises(DiscoveryError, match="line 2"):
        ErlangHostsStrategy().questions(LOCAL)


def test_hosts_are_asked_once_however_they_are_spelt():
    strategy = EpmdStrategy(hosts=("a@LocalHost", "b@localhost.", "c@::1", "d@0::1"))
    assert strategy.questions(LOCAL) == (
        EpmdQuestion("localhost", "localhost", ("a", "b")),
        EpmdQuestion("::1", "::1", ("c", "d")),
    )
