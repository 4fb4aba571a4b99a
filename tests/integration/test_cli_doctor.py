"""``cluster-kit doctor`` beside real nodes, and with plugins that misbehave."""

import json
import os
import pty
import re
import secrets
import signal
import subprocess

import pytest
from cli_process import COMMAND, DEADLINE_S, Cluster, Process, cluster_kit

pytestmark = pytest.mark.once

PLUGIN = """
import os, time
from cluster_kit import Failed, DiscoveryError, Finding, Found, Node, Outcome, Strategy

class Quiet(Strategy):
    async def discover(self, ctx):
        yield Found([])

class Says(Quiet):
    async def diagnose(self, ctx):
        yield Finding(asked="the phone book", got="3 pages")
        cause = "a child had it; buy another"
        yield Finding(asked="page 4", got="torn out", outcome=Outcome.FAILED, cause=cause)

class Sick(Strategy):
    async def discover(self, ctx):
        yield Failed(DiscoveryError("sick: no answer"))

class Exits(Quiet):
    async def diagnose(self, ctx):
        yield Finding(asked="the phone book", got="3 pages")
        os._exit(0)

class Blocks(Quiet):
    async def diagnose(self, ctx):
        yield Finding(asked="the phone book", got="3 pages")
        time.sleep(3600)

class Prints(Quiet):
    async def diagnose(self, ctx):
        print("a word")
        yield Finding(asked="the phone book", got="3 pages")
"""


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    with Cluster(tmp_path) as cluster:
        yield cluster


def gossip():
    """Return a strategy on a port that no other test is on."""
    return {"strategy": {"name": "gossip", "port": 20_000 + secrets.randbelow(10_000)}}


def static(*nodes, **topology):
    return {"strategy": {"name": "static", "nodes": list(nodes)}, **topology}


def doctor(file, *options):
    """Return exit code and printed objects."""
    done = cluster_kit("doctor", file, "--json", *options)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def verdicts(told):
    return {
        each["topology"]: (each["verdict"], each["because"]) for each in told if "verdict" in each
    }


def of(step, told):
    return [each for each in told if each.get("step") == step]


# -- beside real nodes -----------------------------------------------------------------------------


def test_linked_nodes_are_healthy_and_notice_nothing(cluster):
    file = cluster.write("shop.yaml", {"lan": gossip()})
    a, b = cluster.run("a@127.0.0.1", file=file), cluster.run("b@127.0.0.1", file=file)
    a.wait_for("node_up", node="b@127.0.0.1")
    b.wait_for("node_up", node="a@127.0.0.1")
    before = len(a.events)
    code, told = doctor(file)
    assert verdicts(told) == {"lan": ("healthy", "2 nodes can be linked to")}
    assert code == 0
    asked = [each["asked"].split(" ")[0] for each in of("node", told)]
    assert asked == ["a@127.0.0.1", "b@127.0.0.1"]
    b.signal(signal.SIGTERM)
    a.wait_for("node_down", node="b@127.0.0.1")  # whatever there was to tell before has been told
    events = {(event["event"], event["node"]) for event in a.events[before:]}
    assert events <= {("node_down", "b@127.0.0.1"), ("node_lost", "b@127.0.0.1")}
    assert a.errors == b.errors == []


def test_running_node_of_the_same_file_counts_as_this_node(cluster):
    file = cluster.write("shop.yaml", {"lan": gossip()}, node="a@127.0.0.1")
    cluster.run("a@127.0.0.1", file=file).wait_for("ready")
    code, told = doctor(file)
    assert code == 1
    assert verdicts(told)["lan"][0] == "alone"
    assert of("source", told)[-1]["got"].startswith("only this node")


def test_foreign_cluster_is_the_likely_cause(cluster):
    lan = gossip()
    other = cluster.write("other.yaml", {"lan": lan})
    cluster.run("a@127.0.0.1", file=other).wait_for("ready")
    here = cluster.folder / "here.yaml"
    here.write_text(json.dumps({"cluster": "shop", "topologies": {"lan": lan}}))
    code, told = doctor(here)
    assert code == 1
    verdict, because = verdicts(told)["lan"]
    assert verdict == "alone"
    assert f"cluster '{cluster.name}', group 'lan' from 127.0.0.1" in because


def test_list_of_addresses_shows_which_node_answers_at_each(cluster):
    everywhere = cluster.write("nodes.yaml", {"web": {"strategy": "plugin:Quiet"}})
    a = cluster.run("a@127.0.0.1", file=everywhere).wait_for("ready")["address"]
    b = cluster.run("b@127.0.0.1", file=everywhere).wait_for("ready")["address"]
    port = b.rpartition(":")[2]
    code, told = doctor(
        cluster.write("list.yaml", {"web": static(a, f"x@127.0.0.1:{port}", "127.0.0.1:1")})
    )
    assert code == 1
    assert verdicts(told)["web"][0] == "sick"
    assert verdicts(told)["web"][1].startswith(
        "2 of 3 nodes cannot be linked to: 127.0.0.1:1: refused"
    )
    assert {each["asked"]: each["got"].partition(" in ")[0] for each in of("node", told)} == {
        "127.0.0.1:1": "refused",
        a: "answers as a@127.0.0.1",
        f"x@127.0.0.1 at 127.0.0.1:{port}": "name",
    }


def test_frozen_node_is_distinguished_from_a_missing_one(cluster):
    a = cluster.run(
        "a@127.0.0.1", file=cluster.write("nodes.yaml", {"web": {"strategy": "plugin:Quiet"}})
    )
    address = a.wait_for("ready")["address"]
    a.signal_all(signal.SIGSTOP)
    code, told = doctor(cluster.write("list.yaml", {"web": static(address, connect_timeout_s=1)}))
    assert code == 1
    [node] = of("node", told)
    assert (node["outcome"], node["got"]) == ("failed", "no answer within 1 s")


def test_list_of_this_node_alone_is_alone(cluster):
    code, told = doctor(
        cluster.write("list.yaml", {"web": static("a@127.0.0.1:4000")}, node="a@127.0.0.1")
    )
    assert code == 1
    alone = (
        "static: nodes in its list: 1 in all, 0 of them not this one: the list contains only "
        "this node; add the others"
    )
    assert verdicts(told) == {"web": ("alone", alone)}


def test_node_that_serves_nowhere_is_reported_before_others_are_blamed(cluster):
    file = cluster.write(
        "away.yaml",
        {"web": static("b@192.0.2.2:4000", connect_timeout_s=0.5)},
        node="a@192.0.2.1",
        insecure=True,
    )
    code, told = doctor(file)
    assert code == 1
    [finding] = of("connector", told)
    assert (finding["outcome"], finding["got"]) == ("failed", "192.0.2.1")
    assert verdicts(told)["web"][1].startswith(
        "connector: where this node serves: 192.0.2.1: no interface of this machine"
    )


# -- the command -----------------------------------------------------------------------------------


def test_people_get_marks_causes_and_verdicts_in_the_order_of_the_file(cluster):
    file = cluster.write(
        "shop.yaml", {"web": {"strategy": "plugin:Says"}, "fixed": static("127.0.0.1:1")}
    )
    done = cluster_kit("doctor", file, "--wait", "0.2")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        f"{file} is valid; diagnosing cluster '{cluster.name}' from 127.0.0.1"
    )
    assert lines[2:7] == [
        "topology web, group 'web'",
        "  plugin:Says",
        "    ok      the phone book: 3 pages",
        "    failed  page 4: torn out",
        "            a child had it; buy another",
    ]
    assert "  sick: plugin:Says: page 4: torn out: a child had it; buy another" in lines
    assert lines.index("topology fixed, group 'fixed'") > lines.index("topology web, group 'web'")


def test_every_source_of_a_topology_is_examined_by_its_name(cluster):
    strategies = ["plugin:Says", {"name": "static", "nodes": ["127.0.0.1:1"]}, "plugin:Sick"]
    _, told = doctor(cluster.write("shop.yaml", {"web": {"strategy": strategies}}), "--wait", "0.2")
    sources = [each["source"] for each in of("discovery", told)]
    assert sources == ["plugin:Says", "static#2", "plugin:Sick#3"]


def test_faulty_file_is_reported_as_check_does(cluster):
    file = cluster.folder / "faulty.yaml"
    file.write_text("topologies:\n  lan:\n    strategy: gosip\n")
    done = cluster_kit("doctor", file)
    assert done.returncode == 2
    assert done.stderr == cluster_kit("check", file).stderr
    assert done.stdout == ""


def test_ending_it_with_control_c_leaves_nothing_behind(cluster):
    file = cluster.write("shop.yaml", {"lan": gossip(), "web": {"strategy": "plugin:Blocks"}})
    process = cluster.keep(Process(COMMAND, "doctor", file))
    process.until_printed("UDP port")
    process.signal_all(signal.SIGINT)
    assert process.wait() == 130
    assert process.errors == []


def test_being_killed_leaves_nothing_behind(cluster):
    process = cluster.keep(
        Process(
            COMMAND, "doctor", cluster.write("shop.yaml", {"web": {"strategy": "plugin:Blocks"}})
        )
    )
    process.until_printed("the phone book")
    process.signal(signal.SIGKILL)
    process.wait()


def test_reader_that_goes_away_ends_it_quietly(cluster):
    file = cluster.write("shop.yaml", {"lan": gossip()})
    shell = f"{COMMAND} doctor {file} | head -1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stderr == ""


def test_terminal_gets_colours_and_nothing_is_left_of_the_sign_of_life(cluster):
    file = cluster.write("shop.yaml", {"web": {"strategy": "plugin:Says"}})
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "60", "LINES": "40"}
    with subprocess.Popen(
        [COMMAND, "doctor", file, "--wait", "0.3"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
    ):
        os.close(theirs)
        shown = read_all(ours)
    assert "\x1b[32mok" in shown
    assert "examining" not in shown.rpartition("\x1b[2K")[2]  # its line was erased last
    assert "page 4: torn out" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def read_all(fd):
    output = b""
    try:
        while data := os.read(fd, 4096):
            output += data
    except OSError:  # EIO: the other end is closed
        pass
    os.close(fd)
    return output.decode()


# -- plugins ---------------------------------------------------------------------------------------


def test_strategy_with_nothing_to_say_is_judged_by_what_it_discovers(cluster):
    code, told = doctor(cluster.write("sick.yaml", {"web": {"strategy": "plugin:Sick"}}))
    assert code == 1
    assert verdicts(told) == {"web": ("sick", "plugin:Sick: nodes it discovers: sick: no answer")}


@pytest.mark.parametrize(
    ("strategy", "got"),
    [
        ("Exits", "exited with code 0 before it was done"),
        ("Blocks", "blocks the event loop of its process for more than 10 s"),
    ],
)
def test_plugin_that_ends_or_blocks_its_process_is_a_finding_and_its_neighbours_are_examined(
    cluster, strategy, got
):
    file = cluster.write("shop.yaml", {"web": {"strategy": [f"plugin:{strategy}", "plugin:Sick"]}})
    code, told = doctor(file, "--wait", "0.2")
    assert code == 1
    assert [each["got"] for each in of("source", told)] == ["3 pages", got]
    assert [each["got"] for each in of("discovery", told)] == ["sick: no answer"]


def test_output_of_a_plugin_stays_out_of_the_findings(cluster):
    done = cluster_kit(
        "doctor",
        cluster.write("shop.yaml", {"web": {"strategy": "plugin:Prints"}}),
        "--json",
        "--wait",
        "0.2",
    )
    assert [json.loads(line)["topology"] for line in done.stdout.splitlines()] == ["web"] * 3
    assert done.stderr == "a word\n"
