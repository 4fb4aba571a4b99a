"""Each rule of a suite can fail: an implementation that breaks it fails there, and nowhere else."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cluster_kit.testing import ConnectorConformance, NetworkConformance, StrategyConformance, TopologyConformance

pytestmark = pytest.mark.timeout(1200)  # the first one waits for all suites

HERE = Path(__file__).parent
SUITES = {
    "offending_strategies": StrategyConformance,
    "offending_announcers": StrategyConformance,
    "offending_connectors": ConnectorConformance,
    "offending_networks": NetworkConformance,
    "offending_unix_connectors": ConnectorConformance,
    "offending_topologies": TopologyConformance,
}


def load(module: str) -> dict[str, type]:
    spec = importlib.util.spec_from_file_location(module, HERE / f"{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return {name: value for name, value in vars(loaded).items() if name.startswith("Test")}


OFFENDERS = {module: load(module) for module in SUITES}


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Run all offenders, side by side because they mostly wait; return the rules at which each class failed."""
    directory = tmp_path_factory.mktemp("offenders")
    runs = {module: start(module, directory) for module in SUITES}
    failed: dict[str, set[str]] = {}
    for module, run in runs.items():
        output, _ = run.communicate()
        assert run.returncode == 1, output
        for case in ElementTree.parse(directory / f"{module}.xml").iter("testcase"):
            rules = failed.setdefault(case.attrib["classname"].rpartition(".")[2], set())
            if case.find("failure") is not None or case.find("error") is not None:
                rules.add(case.attrib["name"])
    return failed


def start(module: str, directory: Path) -> "subprocess.Popen[str]":
    alone = [
        "-c",
        os.devnull,
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:unraisableexception",
        "-p",
        "no:threadexception",
    ]
    report = f"--junitxml={directory / module}.xml"
    command = [sys.executable, "-m", "pytest", "-q", *alone, report, str(HERE / f"{module}.py")]
    return subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def broken_rules(breaks: frozenset[str], failed: set[str]) -> set[str]:
    """Return the failed rules, without the parameters of a rule that ``breaks`` names without them."""
    return {rule.partition("[")[0] if rule.partition("[")[0] in breaks else rule for rule in failed}


@pytest.mark.parametrize("offender", [offender for module in SUITES for offender in OFFENDERS[module].values()])
def test_offender_fails_exactly_where_it_breaks_a_rule(offender, failures):
    failed = broken_rules(offender.breaks, failures[offender.__name__])
    also = broken_rules(may_break := getattr(offender, "may_break", frozenset()), failed) & may_break
    assert sorted(broken_rules(may_break, failed) - also) == sorted(offender.breaks)


@pytest.mark.parametrize("suite", dict.fromkeys(SUITES.values()))
def test_every_rule_has_its_offender(suite):
    rules = {name for name in dir(suite) if name.startswith("test_")}
    offenders = [offender for module in SUITES if SUITES[module] is suite for offender in OFFENDERS[module].values()]
    assert rules == {rule.partition("[")[0] for offender in offenders for rule in offender.breaks}
