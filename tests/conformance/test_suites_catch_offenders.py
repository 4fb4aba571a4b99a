"""Each rule of a suite can fail: an implementation that breaks it fails there, and nowhere else."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cluster_kit.testing import ConnectorConformance, StrategyConformance, TopologyConformance

HERE = Path(__file__).parent
SUITES = {
    "offending_strategies": StrategyConformance,
    "offending_connectors": ConnectorConformance,
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
    """Run all offenders; return the rules at which each class failed."""
    report = tmp_path_factory.mktemp("offenders") / "report.xml"
    plugins = ["-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"]
    paths = [str(HERE / f"{module}.py") for module in SUITES]
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--noconftest", f"--junitxml={report}", *plugins, *paths]
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stdout + run.stderr
    failed: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        rules = failed.setdefault(case.attrib["classname"].rpartition(".")[2], set())
        if case.find("failure") is not None or case.find("error") is not None:
            rules.add(case.attrib["name"])
    return failed


def broken_rules(breaks: frozenset[str], failed: set[str]) -> set[str]:
    """Return the failed rules, without the parameters of a rule that ``breaks`` names without them."""
    return {rule.partition("[")[0] if rule.partition("[")[0] in breaks else rule for rule in failed}


@pytest.mark.parametrize("offender", [offender for module in SUITES for offender in OFFENDERS[module].values()])
def test_offender_fails_exactly_where_it_breaks_a_rule(offender, failures):
    assert sorted(broken_rules(offender.breaks, failures[offender.__name__])) == sorted(offender.breaks)


@pytest.mark.parametrize("module", SUITES)
def test_every_rule_has_its_offender(module):
    rules = {name for name in dir(SUITES[module]) if name.startswith("test_")}
    assert rules == {rule.partition("[")[0] for offender in OFFENDERS[module].values() for rule in offender.breaks}
