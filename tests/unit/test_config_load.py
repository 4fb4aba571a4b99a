"""Whole configurations: their keys, their bounds, and all faults at once."""

import dataclasses
import subprocess
import sys

import pytest
from config_parts import Full, Shelf

from cluster_kit import ConfigError
from cluster_kit.config import ChildSpec, ClusterConfig, TopologyConfig, load_config
from cluster_kit.config.topologies import plain_readers
from cluster_kit.plugins import PluginRegistry

ENTRY = {"strategy": "silent"}


def load(**keys):
    return load_config({"topologies": {"lan": ENTRY}, **keys}, Shelf(), environ={})


def load_entry(**keys):
    return load(topologies={"lan": ENTRY | keys}).topologies["lan"]


def fault(loader, **keys):
    with pytest.raises(ConfigError) as raised:
        loader(**keys)
    [error] = raised.value.errors
    return str(error).removeprefix("topologies.lan.")


@pytest.mark.parametrize("node", ["web@${POD_IP}", "${NAME}@10.0.0.5"])
def test_error_for_a_reference_in_a_dict_says_where_references_are_expanded(node):
    message = fault(load, node=node)
    assert message.endswith(
        "is only expanded in configuration files, with one '$'; in Python, pass the value itself"
    )


class TestWhole:
    def test_smallest(self):
        config = load()
        assert (config.node, config.host, config.cluster, config.metadata) == (
            None,
            "127.0.0.1",
            "default",
            {},
        )
        assert config.topologies["lan"].child_spec == ChildSpec()
        assert config.topologies["lan"].group == "lan"

    def test_every_key(self, tmp_path):
        file = tmp_path / "cluster.yaml"
        file.write_text("""
node: web@${POD_IP:-127.0.0.1}
cluster: shop-prod
metadata: {zone: a, http: "8080"}
insecure: false
topologies:
  lan:
    strategy: full
    config: {number: 45892}
    connector: tcp
    topology: full_mesh
    child_spec:
      {restart: transient, max_restarts: 0, max_seconds: 10, shutdown_s: 0.5, escalate: true}
    group: prod
    prune: false
    max_nodes: 7
    connect_timeout_s: 2
    remember_s: 60
  abc: {strategy: [silent]}
""")
        config = load_config(file, Shelf(), environ={"POD_IP": "127.0.0.9"})
        lan = config.topologies["lan"]
        assert config == ClusterConfig(
            node="web@127.0.0.9",
            cluster="shop-prod",
            metadata={"zone": "a", "http": "8080"},
            topologies={
                "lan": TopologyConfig(
                    name="lan",
                    group="prod",
                    strategies=lan.strategies,
                    connector=lan.connector,
                    topology=lan.topology,
                    child_spec=ChildSpec(
                        restart="transient",
                        max_restarts=0,
                        max_seconds=10.0,
                        shutdown_s=0.5,
                        escalate=True,
                    ),
                    prune=False,
                    max_nodes=7,
                    connect_timeout_s=2.0,
                    remember_s=60.0,
                ),
                "abc": config.topologies["abc"],
            },
        )
        assert list(config.topologies) == ["lan", "abc"]
        assert config.host == "127.0.0.9"
        assert lan.strategies[0].build() == Full(number=45892)

    def test_loaded_one_is_returned(self):
        config = load()
        assert load_config(config, Shelf()) is config
        with pytest.raises(ConfigError, match="load it again"):
            load_config(config, Shelf(), node="a@127.0.0.1")

    def test_dict_is_taken_literally(self):
        assert load(metadata={"a": "${HOME}"}).metadata == {"a": "${HOME}"}

    def test_path_may_be_text_or_a_path(self, tmp_path):
        file = tmp_path / "c.yaml"
        file.write_text("topologies: {lan: {strategy: silent}}")
        assert load_config(str(file), Shelf()) == load_config(file, Shelf())

    def test_all_faults_at_once_in_the_order_of_the_file(self, tmp_path):
        file = tmp_path / "cluster.yaml"
        file.write_text("""\
node: web
node: x@y
cluster: [a]
topologies:
  lan:
    strategy: nonsense
    prune: ${NOWHERE}
    child_spec: {restart: no, max_restarts: -1}
  wan: {strategy: polling, confg: {}}
""")
        with pytest.raises(ConfigError) as raised:
            load_config(file, Shelf(), environ={})
        assert [(error.path, error.line, error.column) for error in raised.value.errors] == [
            ("node", 1, 7),
            ("node", 2, 1),
            ("cluster", 3, 10),
            ("topologies.lan.strategy", 6, 15),
            ("topologies.lan.prune", 7, 12),
            ("topologies.lan.child_spec.restart", 8, 27),
            ("topologies.lan.child_spec.max_restarts", 8, 45),
            ("topologies.wan.strategy", 9, 19),
            ("topologies.wan.confg", 9, 28),
        ]
        assert str(raised.value).count("\n") == 8
        assert all(error.file == str(file) for error in raised.value.errors)

    @pytest.mark.parametrize(("text", "found"), [("[a]", "list"), ("text", "str"), ("3", "int")])
    def test_document_that_is_no_mapping(self, tmp_path, text, found):
        file = tmp_path / "cluster.yaml"
        file.write_text(text)
        with pytest.raises(ConfigError) as raised:
            load_config(file, Shelf())
        assert str(raised.value) == f"{file}:1:1: expected a mapping, got {found}"


class TestTop:
    def test_unknown_key(self):
        assert fault(load, topology={}) == "topology: unknown key: did you mean 'topologies'?"
        keys = (
            "ca, cert, certs, cluster, insecure, key, metadata, node, previous_secrets, secret, "
            "secret_file, topologies, "
            "trust_domain"
        )
        expected = f"x: unknown key: expected one of {keys}"
        assert fault(load, x=1) == expected

    def test_topologies_are_needed(self):
        with pytest.raises(ConfigError, match=r"^missing key 'topologies'$"):
            load_config({}, Shelf())
        for nothing in ({}, None):
            assert fault(load, topologies=nothing) == "topologies: expected at least one topology"

    @pytest.mark.parametrize("name", ["web", "@h", "a@", "a b@h", "a@b@c", "a@" + "h" * 254, 3])
    def test_node_is_name_and_host(self, name):
        assert fault(load, node=name).startswith("node: invalid ")

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_node_is_not_on_every_interface(self, host):
        assert fault(load, node=f"a@{host}") == (
            f"node: invalid name 'a@{host}': {host} means every interface; "
            "name an address that peers can reach, such as ${POD_IP}"
        )

    @pytest.mark.parametrize("name", ["", "a b", "é", "x" * 256, "a\n", 3])
    def test_cluster_and_group_are_visible_text(self, name):
        assert fault(load, cluster=name).startswith("cluster: invalid value ")
        assert fault(load_entry, group=name).startswith("group: invalid value ")

    def test_metadata_is_small_text(self):
        assert (
            fault(load, metadata={"http": 8080})
            == "metadata.http: invalid value 8080: expected str, got int"
        )
        assert fault(load, metadata={"a": "x" * 2000}).startswith(
            "metadata: metadata takes 2001 bytes"
        )

    @pytest.mark.parametrize("name", ["Lan", "1a", "a b", "", "a" * 65, "ä", "a\n"])
    def test_topology_has_a_plain_name(self, name):
        assert "invalid name: expected [a-z]" in fault(load, topologies={name: ENTRY})


class TestNodeArgument:
    def test_takes_the_place_of_the_key(self):
        config = load_config(
            {"node": "a@127.0.0.1", "topologies": {"lan": ENTRY}}, Shelf(), node="b@127.0.0.2"
        )
        assert (config.node, config.host) == ("b@127.0.0.2", "127.0.0.2")

    def test_is_checked(self):
        with pytest.raises(ConfigError, match=r"^node: invalid name 'web'"):
            load_config({"topologies": {"lan": ENTRY}}, Shelf(), node="web")

    def test_decides_where_parts_serve(self):
        with pytest.raises(ConfigError, match="serves off loopback"):
            load_config(
                {"node": "a@127.0.0.1", "topologies": {"lan": ENTRY}}, Shelf(), node="a@10.0.0.1"
            )


class TestEntry:
    def test_strategy_is_needed(self):
        assert fault(load, topologies={"lan": {}}) == "topologies.lan: missing key 'strategy'"

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            ("prune", 1, "bool, got int"),
            ("max_nodes", 0, "at least 1"),
            ("max_nodes", 10.0, "int, got float"),
            ("connect_timeout_s", 0, "more than 0 and at most 1000000000 seconds"),
            ("connect_timeout_s", "5", "float, got str"),
            ("remember_s", -1, "more than 0 and at most 1000000000 seconds"),
            ("remember_s", float("inf"), "a finite number"),
        ],
    )
    def test_values_are_bounded(self, key, value, expected):
        message = fault(load_entry, **{key: value})
        assert message.startswith(f"{key}: invalid value ")
        assert message.endswith(f": expected {expected}")

    def test_number_that_no_float_can_hold(self):
        assert fault(load_entry, remember_s=10**400).startswith("remember_s: invalid value 1000")

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("restart", "always"),
            ("max_restarts", -1),
            ("max_seconds", 0),
            ("shutdown_s", -0.1),
            ("escalate", "yes"),
            ("max", 1),
        ],
    )
    def test_child_spec_is_bounded(self, key, value):
        assert fault(load_entry, child_spec={key: value}).startswith(f"child_spec.{key}: ")

    def test_each_field_of_a_child_spec_can_be_given(self):
        assert list(plain_readers(ChildSpec)) == [
            field.name for field in dataclasses.fields(ChildSpec)
        ]


def loaded_by(statement):
    script = f"import sys; {statement}; print(*sys.modules)"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_values_load_neither_validation_nor_yaml():
    assert not {"msgspec", "yaml", "asyncio"} & loaded_by(
        "from cluster_kit.config import TopologyConfig, Component, Secret"
    )


def test_loading_needs_yaml_for_files_only_and_no_event_loop():
    assert not {"yaml", "asyncio", "difflib"} & loaded_by(
        "from cluster_kit.config import load_config"
    )


def test_every_fault_of_a_parts_options_is_reported_at_its_own_place(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "topologies:\n"
        "  lan:\n"
        "    strategy: gossip\n"
        "    config: {port: 70000, ttl_s: 0.1,\n"
        "      multicast_addr: 10.0.0.1}\n"
        "  wan:\n"
        "    strategy: static\n"
        "    config:\n"
        "      nodes: [b, x@y, c@h:0]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, PluginRegistry.load())
    told = [
        (error.line, error.path, str(error).rpartition(error.path + ": ")[2].split(":")[0])
        for error in caught.value.errors
    ]
    assert told == [
        (4, "topologies.lan.config.port", "invalid value 70000"),
        (4, "topologies.lan.config.ttl_s", "invalid value 0.1"),
        (5, "topologies.lan.config.multicast_addr", "invalid value '10.0.0.1'"),
        (9, "topologies.wan.config.nodes[0]", "cannot use 'b'"),
        (9, "topologies.wan.config.nodes[1]", "cannot use 'x@y'"),
        (9, "topologies.wan.config.nodes[2]", "cannot use 'c@h"),
    ]
    assert [error.column for error in caught.value.errors[-3:]] == [15, 18, 23]


@pytest.mark.parametrize("insecure", ["", "insecure: true\n"])
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("web@$(POD_IP)", "write ${POD_IP}"),
        ("web@$POD_IP", "write ${POD_IP}"),
        ("web@$${POD_IP}", "only expanded in configuration files, with one '$'"),
        ("web@10.0.0.5:4370", "a port does not belong to the host"),
        ("web@http://x", "it is a URL"),
        ("web@host/path", "a host has no '/'"),
        ("web@[::1]", "write ::1"),
        ("web@eth0", "it is a network interface"),
        ("web@0.0.0.0", "means every interface"),
        ("$(POD_NAME)@10.0.0.5", "write ${POD_NAME}"),
    ],
)
def test_host_that_cannot_be_one_is_refused_with_or_without_insecure(tmp_path, name, why, insecure):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"node: {name}\n{insecure}topologies: {{lan: {{strategy: gossip}}}}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(file, PluginRegistry.load())
    (error,) = raised.value.errors
    assert (error.path, error.line) == ("node", 1)
    assert why in str(error)
    assert "${POD_" in str(error)
    assert "insecure" not in str(error)


@pytest.mark.parametrize("key", ["cluster", "group"])
def test_reference_that_nothing_expands_is_no_fence(tmp_path, key):
    file = tmp_path / "cluster.yaml"
    entry = "strategy: gossip, group: '$(TEAM)'" if key == "group" else "strategy: gossip"
    cluster = "cluster: shop-$TEAM\n" if key == "cluster" else ""
    file.write_text(f"{cluster}topologies: {{lan: {{{entry}}}}}\n")
    with pytest.raises(ConfigError, match=rf"{key}: invalid value .* write \$\{{TEAM\}}"):
        load_config(file, PluginRegistry.load())


@pytest.mark.parametrize("template", ["{{ t }}", "shop {{ t }}", "$TEAM " + "x" * 300])
def test_reference_is_named_before_the_blanks_and_length_of_a_fence_or_name(template):
    assert "is not expanded here" in fault(load, cluster=template)
    assert "is not expanded here" in fault(load_entry, group=template)
    assert "is not expanded here" in fault(load, node=template)
    assert "is not expanded here" in fault(load, node=f"web@{template}")


def test_long_reference_is_shown_short():
    assert len(fault(load, cluster="$" + "A" * 100_000)) < 1000


def test_keys_of_ones_own_hold_anchors(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "x-lan: &lan\n  strategy: gossip\nx-more: [1]\ntopologies:\n  lan:\n    <<: *lan\n    "
        "group: a\n"
    )
    config = load_config(file, PluginRegistry.load())
    assert config.topologies["lan"].group == "a"
    file.write_text("y-lan: 1\ntopologies: {lan: {strategy: gossip, x-own: 1}}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(file, PluginRegistry.load())
    assert [error.path for error in raised.value.errors] == ["y-lan", "topologies.lan.x-own"]
