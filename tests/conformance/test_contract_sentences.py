"""What a failing rule quotes stands in the contract, and each rule of a suite quotes something."""

import re
from pathlib import Path

import pytest

from cluster_kit.testing import (
    ConnectorConformance,
    NetworkConformance,
    StrategyConformance,
    TopologyConformance,
)

ROOT = Path(__file__).parents[2]
CONTRACT = (
    "cluster_kit/abc.py",
    "cluster_kit/observations.py",
    "cluster_kit/network/__init__.py",
    "cluster_kit/errors.py",
    "docs/plugins.md",
)
SUITES = (ConnectorConformance, NetworkConformance, StrategyConformance, TopologyConformance)


def words(text):
    """Return ``text`` on one line, without the markup of code in docstrings and Markdown."""
    return re.sub(r"\s+", " ", text.replace("`", "").replace("\n#", "\n"))


RULES = [
    getattr(suite, name) for suite in SUITES for name in dir(suite) if name.startswith("test_")
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__qualname__)
def test_rule_quotes_the_contract(rule):
    contract = [words((ROOT / path).read_text()) for path in CONTRACT]
    assert any(words(rule.__contract__) in text for text in contract), rule.__contract__


def test_failure_begins_with_the_sentence_and_shows_values():
    from offending_topologies import LeavesIslands

    suite = TopologyConformance()
    with pytest.raises(
        AssertionError,
        match=r"^contract: .*connect the cluster.*\n?.*no path leads from .*node0@.*node919@",
    ):
        suite.test_links_connect_the_cluster(
            LeavesIslands(), frozenset(map(suite.make_node, range(2)))
        )
