"""What leads from one configuration to another."""

import pytest
from certificate_files import write_folder
from made_up_certificates import Authority

from cluster_kit import ConfigError, load_config
from cluster_kit.plugins import PluginRegistry
from cluster_kit.supervisor.changes import Changes, changes_between, with_topology, without_topology

PLUGINS = PluginRegistry.load()
GOSSIP = {"strategy": "gossip"}
AUTHORITY = Authority("one")


def config(**keys):
    return load_config({"node": "a@127.0.0.1", "topologies": {"lan": GOSSIP}} | keys, PLUGINS)


def test_the_same_configuration_changes_nothing():
    changes = changes_between(config(), config())
    assert not changes
    assert str(changes) == "changed nothing"


def test_topologies_are_compared_by_name_and_by_every_option():
    old = config(topologies={"a": GOSSIP, "b": GOSSIP, "c": GOSSIP})
    new = config(topologies={"c": GOSSIP, "b": GOSSIP | {"prune": False}, "d": GOSSIP})
    changes = changes_between(old, new)
    assert changes == Changes(added=("d",), replaced=("b",), removed=("a",))
    assert str(changes) == "added d; replaced b; removed a"


@pytest.mark.parametrize(
    "other",
    [
        {"strategy": "gossip", "config": {"ttl_s": 9.0}},
        {"strategy": "gossip", "connector": {"name": "tcp", "port": 4001}},
        {"strategy": "gossip", "connector": "none"},
        {"strategy": "gossip", "child_spec": {"max_restarts": 9}},
        {"strategy": "gossip", "group": "other"},
        {"strategy": ["gossip", "gossip"]},
    ],
)
def test_whatever_is_configured_otherwise_is_replaced(other):
    assert changes_between(config(), config(topologies={"lan": other})).replaced == ("lan",)


def test_order_is_no_difference():
    both = {"a": GOSSIP, "b": GOSSIP}
    assert not changes_between(
        config(topologies=both), config(topologies=dict(reversed(both.items())))
    )


def test_metadata_alone_replaces_nothing():
    changes = changes_between(config(), config(metadata={"zone": "b"}))
    assert changes == Changes(metadata=True)
    assert str(changes) == "changed the metadata"


def test_secrets_alone_replace_nothing():
    old = config(secret="a", previous_secrets=["z", "y"])
    for other in (
        {"secret": "b"},
        {"secret": "a"},
        {"secret": "y", "previous_secrets": ["a", "z"]},
    ):
        changes = changes_between(old, config(**other))
        assert changes == Changes(secrets=True)
        assert str(changes) == "changed the secrets"
    assert not changes_between(old, config(secret="a", previous_secrets=["y", "z"]))


def test_secret_is_the_same_wherever_it_comes_from(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a\nb\n")
    file.chmod(0o600)
    assert not changes_between(
        config(secret="a", previous_secrets=["b"]), config(secret_file=str(file))
    )


def test_certificates_alone_replace_nothing(tmp_path):
    first, second = (
        config(certs=str(write_folder(tmp_path / name, AUTHORITY.certificates("127.0.0.1"))))
        for name in ("first", "second")
    )
    assert changes_between(first, second) == Changes(certificates=True)
    assert str(changes_between(first, second)) == "changed the certificates"
    assert not changes_between(first, config(certs=str(tmp_path / "first")))


def test_certificates_that_come_or_go_replace_all(tmp_path):
    certs = str(write_folder(tmp_path / "certs", AUTHORITY.certificates("127.0.0.1")))
    for keys in ({}, {"secret": "x"}):
        with_them, without = config(certs=certs, **keys), config(**keys)
        for old, new in ((with_them, without), (without, with_them)):
            assert changes_between(old, new) == Changes(replaced=("lan",), certificates=True)
    assert changes_between(config(secret="x"), config(certs=certs)).replaced == ("lan",)


def test_added_topology_uses_the_certificates_of_the_others(tmp_path):
    folder = write_folder(tmp_path / "certs", AUTHORITY.certificates("127.0.0.1"))
    old = config(certs=str(folder))
    (folder / "tls.key").unlink()
    exposed = {
        "strategy": "static",
        "config": {"nodes": []},
        "connector": {"name": "tcp", "host": "0.0.0.0"},
    }
    new = with_topology(old, "wan", exposed, PLUGINS)
    assert new.certificates is old.certificates
    assert changes_between(old, new) == Changes(added=("wan",))


def test_topologies_begin_anew_when_they_come_under_protection_or_lose_it():
    both = {"a": GOSSIP, "b": GOSSIP}
    bare, protected = config(topologies=both), config(topologies=both, secret="x")
    for old, new in ((bare, protected), (protected, bare)):
        assert changes_between(old, new) == Changes(replaced=("a", "b"), secrets=True)
    assert str(changes_between(bare, protected)) == "replaced a, b; changed the secrets"


def test_added_topology_uses_the_secrets_of_the_others(monkeypatch, tmp_path):
    file = tmp_path / "secret"
    file.write_text("a\nb\n")
    file.chmod(0o600)
    exposed = {"strategy": "gossip", "connector": {"name": "tcp", "host": "0.0.0.0"}}
    old = config(secret_file=str(file), previous_secrets=["c"])
    file.unlink()
    new = with_topology(old, "wan", exposed, PLUGINS)
    assert (new.secret_file, new.previous_secrets) == (old.secret_file, old.previous_secrets)
    assert changes_between(old, new) == Changes(added=("wan",))
    monkeypatch.setenv("CLUSTER_KIT_SECRET", "came later")
    assert with_topology(new, "lan2", GOSSIP, PLUGINS).secrets == old.secrets


def test_another_node_or_cluster_is_another_process():
    with pytest.raises(ConfigError) as caught:
        changes_between(config(), config(node="b@127.0.0.1", cluster="other"))
    assert [error.path for error in caught.value.errors] == ["node", "cluster"]
    assert "start another one" in str(caught.value.errors[0])


def test_added_topology_is_read_as_part_of_the_config():
    old = config(cluster="shop", metadata={"zone": "a"})
    new = with_topology(old, "wan", GOSSIP, PLUGINS)
    assert changes_between(old, new) == Changes(added=("wan",))
    assert without_topology(new, "wan") == old


def test_faults_of_one_topology_are_placed_in_it():
    with pytest.raises(ConfigError, match=r"topologies\.wan\.strategy"):
        with_topology(config(), "wan", {"strategy": "gosip"}, PLUGINS)


def test_where_it_serves_is_checked_as_in_the_whole():
    exposed = {
        "strategy": "static",
        "config": {"nodes": []},
        "connector": {"name": "tcp", "host": "0.0.0.0"},
    }
    with pytest.raises(ConfigError, match="insecure"):
        with_topology(config(), "wan", exposed, PLUGINS)
    assert with_topology(config(insecure=True), "wan", exposed, PLUGINS).topologies.keys() == {
        "lan",
        "wan",
    }
