"""The commands show each strategy of a topology under a name of its own."""

import json

import pytest
from cli_process import cluster_kit


@pytest.fixture
def one(tmp_path):
    path = tmp_path / "one"
    path.write_text("bob@127.0.0.1:45002\n127.0.0.1:45003\n")
    return path


@pytest.fixture
def two(tmp_path):
    path = tmp_path / "two"
    path.write_text("dan@127.0.0.1:45004\nweb\n")
    return path


def write(cluster, *paths, **keys):
    strategies = [{"name": "hosts_file", "path": str(path)} for path in paths]
    return cluster.write("shop.yaml", {"lan": {"strategy": strategies}}, **keys)


def test_check_shows_each_with_its_options(cluster, one, two):
    done = cluster_kit("check", write(cluster, one, two))
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines() if "strategy" in line]
    assert [row[:2] for row in rows] == [["strategy", "hosts_file"], ["strategy", "hosts_file#2"]]
    assert str(one) in rows[0][2]
    assert str(two) in rows[1][2]


def test_nodes_lists_what_is_found_and_says_which_source_fails(cluster, one, two):
    done = cluster_kit("nodes", write(cluster, one, two), "--wait", "1")
    assert done.returncode == 0
    rows = [line.split()[1:3] for line in done.stdout.splitlines()[1:]]
    assert rows == [["-", "127.0.0.1:45003"], ["bob@127.0.0.1", "127.0.0.1:45002"]]
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"cluster-kit: nodes: lan: hosts_file#2: hosts_file: {two}:2: cannot use 'web'"
    )


def test_nodes_reports_every_failing_source_if_no_node_is_found(cluster, one, two):
    one.unlink()
    done = cluster_kit("nodes", write(cluster, one, two), "--wait", "1")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert (
        f"no nodes found: lan: hosts_file: hosts_file: {one}: cannot be read: no such file" in line
    )
    assert f"; lan: hosts_file#2: hosts_file: {two}:2: cannot use 'web'" in line
    assert line.count("cannot") == 2


def test_doctor_examines_each_and_the_broken_one_makes_the_topology_sick(cluster, one, two):
    done = cluster_kit("doctor", write(cluster, one, two), "--json", "--wait", "0.5")
    assert done.returncode == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    [fault] = [
        each for each in told if each.get("step") == "source" and each["outcome"] == "failed"
    ]
    assert (fault["source"], fault["asked"]) == ("hosts_file#2", f"{two}:2")
    assert fault["cause"].startswith("correct the line")
    steps = [each for each in told if each.get("step") == "discovery"]
    assert {each["source"] for each in steps} == {"hosts_file", "hosts_file#2"}
    assert told[-1]["verdict"] == "sick"
    assert told[-1]["because"].startswith(f"hosts_file#2: {two}:2: cannot use 'web'")


def test_doctor_of_a_file_with_this_node_alone_is_alone(cluster, one):
    one.write_text("a@127.0.0.1:4000\n")
    done = cluster_kit("doctor", write(cluster, one, node="a@127.0.0.1"), "--json", "--wait", "0.5")
    assert json.loads(done.stdout.splitlines()[-1])["verdict"] == "alone"


def test_log_names_the_source_that_fails(cluster, one, two):
    run = cluster.run("ann@127.0.0.1", file=write(cluster, one, two))
    run.wait_for("ready")
    run.until(
        lambda: any(
            "hosts_file#2: source failed: " in line and f"{two}:2" in line for line in run.errors
        ),
        "the fault",
    )
    copy = two.with_name("copy")
    copy.write_text("dan@127.0.0.1:45004\n")
    copy.replace(two)
    run.until(
        lambda: any("hosts_file#2: source works again" in line for line in run.errors),
        "the recovery",
    )
    run.wait_for("node_found", node="dan@127.0.0.1")
    assert not [line for line in run.errors if "hosts_file: source failed" in line]
