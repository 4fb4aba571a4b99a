"""Tests that run side by side are apart, and the Pythons that share tests leave out none."""

import os
import sys
from pathlib import Path

import pytest

pytest_plugins = "pytester"

CONFTEST = Path(__file__).parents[1] / "conftest.py"
OURS = "{}.{}".format(*sys.version_info)
MODULES = {
    f"test_{number}": "import pytest\n@pytest.mark.once\ndef test_it(): pass\n"
    for number in range(10)
}


@pytest.fixture
def pytester(pytester, monkeypatch):
    """Have the suite's own ``conftest``, and a marker."""
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parent), prepend=os.pathsep)
    monkeypatch.delenv("CLUSTER_KIT_PYTHONS", raising=False)
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makeini("[pytest]\nmarkers = once")
    return pytester


def test_each_test_that_runs_once_falls_to_one_of_the_pythons(pytester, monkeypatch):
    pytester.makepyfile(**MODULES, test_always="def test_it(): pass")
    shares = []
    for pythons in (f"{OURS} 2.7", f"2.7 {OURS}"):
        monkeypatch.setenv("CLUSTER_KIT_PYTHONS", pythons)
        listed = pytester.runpytest_subprocess("--collect-only", "-q").outlines
        shares.append({line.partition(".py::")[0] for line in listed if "::" in line})
    assert shares[0] | shares[1] == {*MODULES, "test_always"}
    assert shares[0] & shares[1] == {"test_always"}


@pytest.mark.netns
def test_workers_have_a_network_and_folders_of_their_own(pytester):
    pytester.makepyfile(
        **dict.fromkeys(
            ("test_a", "test_b"),
            """
            import os, socket, tempfile
            def test_it():
                with socket.create_server(("127.0.0.1", 7)):
                    assert os.environ["XDG_RUNTIME_DIR"] == tempfile.gettempdir()
                    print("SEEN", os.readlink("/proc/self/ns/net"), tempfile.gettempdir())
            """,
        )
    )
    run = pytester.runpytest_subprocess("-n", "2", "--dist", "loadfile", "-rP")
    run.assert_outcomes(passed=2)
    networks, folders = zip(
        *(line.split()[1:] for line in run.outlines if line.startswith("SEEN")), strict=True
    )
    assert len({*networks, str(Path("/proc/self/ns/net").readlink())}) == 3
    assert len(set(folders)) == 2
    assert not any(Path(folder).exists() for folder in folders)
