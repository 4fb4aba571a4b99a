"""What every test must do: leave nothing behind, and name what it cannot run without."""

import logging
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from resource import RUSAGE_CHILDREN, getrusage
from typing import TYPE_CHECKING

import own_machine
import psutil
import pytest

from cluster_kit.testing.leaks import held, wait_released

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

GRACE_S = 10.0
MARK = "CLUSTER_KIT_TEST_MARK"  # inherited by every process that a test starts, orphans included


@pytest.fixture(autouse=True)
def _leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a process, thread, socket or pipe behind."""
    mark = f"{os.getpid()}-{os.urandom(4).hex()}"
    monkeypatch.setenv(MARK, mark)
    before, reaped = held(), getrusage(RUSAGE_CHILDREN)
    yield
    left = wait_released(before, GRACE_S)
    # only a child that has ended leaves orphans, and to look for them takes time
    if getrusage(RUSAGE_CHILDREN) != reaped:
        left += _orphans(mark)
    assert not left, "left behind: " + "; ".join(left)


@pytest.fixture(autouse=True)
def _restores_log_level() -> Iterator[None]:
    """Undo that the command line, run in this process, silences what it shows itself."""
    logger = logging.getLogger("cluster_kit.plugins")
    level = logger.level
    yield
    logger.setLevel(level)


def _orphans(mark: str) -> list[str]:
    """Kill and return the processes of a test that are not our children any more."""
    marked = [
        each
        for each in psutil.process_iter(["environ", "cmdline"])
        if (each.info["environ"] or {}).get(MARK) == mark
    ]
    _, alive = psutil.wait_procs(marked, timeout=GRACE_S)
    for orphan in alive:
        orphan.kill()
    return [f"orphan {orphan.pid} {orphan.info['cmdline']}" for orphan in alive]


@pytest.fixture(scope="session")
def require() -> Callable[[str], None]:
    """Return a function that skips the test if a program is missing; in CI it fails instead."""
    return _require


def _require(program: str) -> None:
    if shutil.which(program) is None:
        _missing(f"{program} is not installed")


def _missing(what: str) -> None:
    if os.environ.get("CLUSTER_KIT_REQUIRE_SERVERS"):
        pytest.fail(f"{what}, and CLUSTER_KIT_REQUIRE_SERVERS is set")
    pytest.skip(what)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold back tests in network namespaces where there are none to be had."""
    if item.get_closest_marker("netns") is not None:
        _require("ip")
        if not own_machine.possible():
            _missing("network namespaces need root, and its capabilities (CAP_SYS_ADMIN)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share out tests marked ``once`` among CI's Pythons, module by module."""
    pythons = os.environ.get("CLUSTER_KIT_PYTHONS", "").split()
    if not pythons:
        return
    ours = pythons.index("{}.{}".format(*sys.version_info))
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        falls_to_us = zlib.crc32(item.path.name.encode()) % len(pythons) == ours
        (kept if falls_to_us or item.get_closest_marker("once") is None else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One worker more than cores, as tests mostly wait; none if they cannot be isolated."""
    if config.option.numprocesses == "logical":  # asked for by tests that are pure
        return None
    return 1 + (os.cpu_count() or 1) if own_machine.possible() else 0


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    """Give a worker a folder that goes with the session."""
    # short, because it comes into paths of sockets
    node.workerinput["folder"] = tempfile.mkdtemp(prefix="ck-")
    node.config.add_cleanup(partial(shutil.rmtree, node.workerinput["folder"]))


def pytest_configure(config: pytest.Config) -> None:
    """Keep a worker apart from the others."""
    if hasattr(config, "workerinput") and own_machine.possible():
        own_machine.enter(config.workerinput["folder"])
