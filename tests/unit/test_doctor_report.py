"""A finding as lines for people, and as JSON."""

import json

import click
import pytest

from cluster_kit import load_config
from cluster_kit.cli.doctor.report import JsonLines, Lines
from cluster_kit.cli.doctor.verdict import SourceFinding, Verdict
from cluster_kit.diagnosis import Finding, Outcome

CONFIG = load_config({"cluster": "shop", "topologies": {"lan": {"strategy": "gossip"}}})
LONG = (
    "correct the host in the node's name, multicast_if or if_addr: this machine has 127.0.0.1 (lo)"
)


def source_finding(**fields):
    return SourceFinding(
        "gossip", "source", Finding(**({"asked": "port 1", "got": "open"} | fields))
    )


def shown(*entries, verdict=None, width=None, form=Lines):
    lines = []
    report = Lines(lines.append, width) if form is Lines else JsonLines(lines.append)
    report.begin("shop.yaml", CONFIG)
    report.topology(CONFIG.topologies["lan"])
    report.source("gossip")
    for entry in entries:
        report.finding(entry)
    if verdict:
        report.verdict(verdict)
    return [click.unstyle(line) for line in lines]


def test_mark_question_and_answer_are_one_line_with_the_cause_below():
    entry = source_finding(
        got="cannot be opened", outcome=Outcome.FAILED, cause="held by dnsmasq (12)"
    )
    begin = "shop.yaml is valid; diagnosing cluster 'shop' from 127.0.0.1"
    assert shown(entry, verdict=Verdict(Outcome.FAILED, "gossip: port 1")) == [
        f"{begin}, without announcing this node",
        "",
        "topology lan, group 'lan'",
        "  gossip",
        "    failed  port 1: cannot be opened",
        "            held by dnsmasq (12)",
        "  sick: gossip: port 1",
    ]


@pytest.mark.parametrize(
    ("outcome", "word"),
    [(Outcome.OK, "healthy"), (Outcome.EMPTY, "alone"), (Outcome.FAILED, "sick")],
)
def test_each_verdict_has_its_word(outcome, word):
    assert shown(verdict=Verdict(outcome, "why"))[-1] == f"  {word}: why"


def test_on_a_terminal_long_lines_are_wrapped_below_their_beginning():
    lines = shown(source_finding(cause=LONG), verdict=Verdict(Outcome.OK, LONG), width=60)
    assert max(map(len, lines[3:])) <= 60
    assert " ".join(line.strip() for line in lines[5:8]) == LONG
    assert all(line.startswith(" " * 12) for line in lines[5:8])
    assert " ".join(lines[8:]).replace(" " * 11, "") == f"  healthy: {LONG}"


def test_elsewhere_each_text_stays_on_one_line():
    assert f"            {LONG}" in shown(source_finding(cause=LONG))


def test_terminal_is_not_moved_by_what_the_network_says():
    lines = shown(source_finding(got="cluster \x1b[2J\r\nfrom\u202e afar"))
    assert lines[-1] == r"    ok      port 1: cluster \x1b[2J from\u202e afar"


def test_machine_gets_an_object_a_line():
    entry = source_finding(outcome=Outcome.EMPTY, cause="nobody\nhere")
    lines = shown(entry, verdict=Verdict(Outcome.EMPTY, "nobody"), form=JsonLines)
    assert [json.loads(line) for line in lines] == [
        {
            "topology": "lan",
            "source": "gossip",
            "step": "source",
            "outcome": "empty",
            "asked": "port 1",
            "got": "open",
            "cause": "nobody\nhere",
        },
        {"topology": "lan", "verdict": "alone", "because": "nobody"},
    ]
