"""What the findings of a topology come to."""

import pytest

from cluster_kit.cli.doctor.verdict import SourceFinding, Verdict, verdict_of
from cluster_kit.diagnosis import Finding, Outcome


def entry(step, outcome=Outcome.OK, *, source="dns", asked="A web.test", got="nothing", cause=None):
    return SourceFinding(source, step, Finding(asked=asked, got=got, outcome=outcome, cause=cause))


OK = [entry("source"), entry("discovery")]


def test_linkable_nodes_are_healthy():
    assert verdict_of([*OK, entry("node"), entry("node")]) == Verdict(
        Outcome.OK, "2 nodes can be linked to"
    )


def test_one_node_is_reported_in_the_singular():
    assert verdict_of([*OK, entry("node")]).sentence == "1 node can be linked to"


def test_nodes_of_a_connector_without_diagnosis_are_healthy():
    assert verdict_of(OK).outcome is Outcome.OK


def test_verdict_without_nodes_gives_the_first_reported_cause():
    entries = [
        entry("source", Outcome.EMPTY, got="no data"),
        entry("source", Outcome.EMPTY, cause="wrong namespace"),
        entry("discovery", Outcome.EMPTY, cause="later"),
    ]
    assert verdict_of(entries) == Verdict(
        Outcome.EMPTY, "dns: A web.test: nothing: wrong namespace"
    )


def test_being_the_only_one_found_is_to_be_alone():
    assert (
        verdict_of([*OK, entry("node", Outcome.EMPTY, got="this node itself")]).outcome
        is Outcome.EMPTY
    )


def test_empty_source_does_no_harm_beside_one_that_finds_somebody():
    empty = [
        entry("source", Outcome.EMPTY, source="gossip"),
        entry("discovery", Outcome.EMPTY, source="gossip"),
    ]
    assert verdict_of([*empty, *OK, entry("node")]).outcome is Outcome.OK


def test_first_failure_of_a_source_is_the_cause_though_nodes_answer():
    entries = [
        entry("source", Outcome.FAILED, got="SERVFAIL", cause="ask its owner"),
        entry("discovery", Outcome.FAILED, got="later"),
        entry("node"),
    ]
    assert verdict_of(entries) == Verdict(
        Outcome.FAILED, "dns: A web.test: SERVFAIL: ask its owner"
    )


def test_empty_answer_that_discovery_counts_as_a_failure_is_to_be_alone():
    entries = [
        entry("source", Outcome.EMPTY, got="NXDOMAIN", cause="the name is misspelt"),
        entry(
            "discovery", Outcome.FAILED, asked="nodes it discovers", got="'web.test' lists no nodes"
        ),
    ]
    assert verdict_of(entries) == Verdict(
        Outcome.EMPTY, "dns: A web.test: NXDOMAIN: the name is misspelt"
    )
    other = entry("source", Outcome.EMPTY, source="gossip", cause="of another source")
    assert (
        verdict_of([other, entries[1]]).sentence
        == "dns: nodes it discovers: 'web.test' lists no nodes"
    )


def test_nodes_that_fail_are_counted_and_the_first_is_reported():
    entries = [
        *OK,
        entry("node"),
        entry("node", Outcome.FAILED, asked="b@h", got="refused"),
        entry("node", Outcome.FAILED),
    ]
    assert verdict_of(entries) == Verdict(
        Outcome.FAILED, "2 of 3 nodes cannot be linked to: b@h: refused"
    )


def test_faults_of_this_node_come_before_faults_of_others():
    ours = entry(
        "connector",
        Outcome.FAILED,
        asked="where this node serves",
        got="10.9.9.9",
        cause="not ours",
    )
    entries = [*OK, ours, entry("node", Outcome.FAILED, asked="b@h", got="refused")]
    assert verdict_of(entries) == Verdict(
        Outcome.FAILED, "connector: where this node serves: 10.9.9.9: not ours"
    )


def test_nodes_without_an_address_are_explained_by_what_their_source_lacks():
    port = entry(
        "source",
        Outcome.EMPTY,
        source="kubernetes",
        asked="the only port",
        got="two ports",
        cause="set port",
    )
    entries = [*OK, port, entry("node", Outcome.FAILED, asked="a@h", got="no address")]
    sentence = (
        "kubernetes: the only port: two ports: set port; and 1 of 1 node cannot be linked to: a@h: "
        "no address"
    )
    assert verdict_of(entries) == Verdict(Outcome.FAILED, sentence)


@pytest.mark.parametrize("entries", [[], [entry("source")], [entry("source", Outcome.EMPTY)]])
def test_without_anybody_nothing_is_healthy(entries):
    verdict = verdict_of(entries)
    assert verdict.outcome is Outcome.EMPTY
    assert verdict.sentence
