"""Runs the suites on offenders, which break certain rules and must fail at exactly these."""

import importlib.util
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
WITHOUT = ("cacheprovider", "unraisableexception", "threadexception")


def offenders_in(module: str) -> list[type]:
    """Return the suites for the offenders of a module."""
    spec = importlib.util.spec_from_file_location(module, HERE / f"{module}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return [value for name, value in vars(loaded).items() if name.startswith("Test")]


def caught(module: str, *, at_once: int) -> type:
    """Return a class with a test for each offender of a module, and run several at once."""

    @pytest.mark.once
    @pytest.mark.timeout(1200)  # the first one waits for all
    class Caught:
        @pytest.mark.parametrize("offender", offenders_in(module))
        def test_offender_fails_exactly_where_it_breaks_a_rule(self, offender: type) -> None:
            failed = failures_in(module, at_once)[offender.__name__]
            known = offender.breaks | getattr(offender, "may_break", frozenset())
            unknown = {
                rule: text
                for rule, text in failed.items()
                if not known & {rule, without_parameters(rule)}
            }
            assert not unknown, "\n\n".join(f"{rule}: {text}" for rule, text in unknown.items())
            assert offender.breaks <= {*failed, *map(without_parameters, failed)}, (
                f"failed at {sorted(failed)}"
            )

    return Caught


@cache
def failures_in(module: str, at_once: int) -> dict[str, dict[str, str]]:
    """Run the suites on all offenders of a module; return the failures by class and rule."""
    parallel = ["-n", str(at_once), "--dist", "loadscope"] if at_once > 1 else []
    with NamedTemporaryFile(prefix=module, suffix=".xml") as report:
        isolated = ["-c", os.devnull, "--noconftest", *(f"-pno:{plugin}" for plugin in WITHOUT)]
        options = ["-q", *isolated, f"--junitxml={report.name}", *parallel]
        command = [sys.executable, "-m", "pytest", *options, str(HERE / f"{module}.py")]
        output = subprocess.run(
            command,
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert output.returncode == 1, output.stdout
        cases = list(ElementTree.parse(report.name).iter("testcase"))
    failed: dict[str, dict[str, str]] = {
        case.attrib["classname"].rpartition(".")[2]: {} for case in cases
    }
    for case in cases:
        for fault in (*case.iter("failure"), *case.iter("error")):
            failed[case.attrib["classname"].rpartition(".")[2]][case.attrib["name"]] = (
                fault.text or ""
            )
    return failed


def without_parameters(rule: str) -> str:
    return rule.partition("[")[0]
