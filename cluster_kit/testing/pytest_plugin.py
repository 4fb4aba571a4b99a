"""The pytest plugin with the fixture ``cluster``, which is loaded where cluster_kit is installed.

It imports nothing but pytest until the fixture is used. ``-p no:cluster_kit`` disables it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster_kit.testing.cluster import Cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A small cluster on loopback, closed to all others and stopped at the end of the test.

    ``cluster.start(3)`` starts three nodes and returns their supervisors once all are linked. If
    the test fails, pytest shows what they logged, and which nodes they saw come and go.
    """
    from cluster_kit.testing.cluster import Cluster

    started = Cluster()
    try:
        with started:
            yield started
    finally:
        request.node.add_report_section("teardown", "cluster", "\n".join(started.lines))
