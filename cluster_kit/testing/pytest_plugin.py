"""The pytest plugin, which pytest loads by itself wherever cluster_kit is installed: the fixture
``cluster``.

It imports nothing but pytest until the fixture is used. ``-p no:cluster_kit`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cluster_kit.testing.cluster import Cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A small cluster on loopback, closed to all others, that is stopped at the end of the test.

    ``cluster.start(3)`` starts three nodes and returns their supervisors once all are linked. When
    a test fails, pytest shows what they logged, and which nodes they saw come and go.
    """
    from cluster_kit.testing.cluster import Cluster

    started = Cluster()
    try:
        with started:
            yield started
    finally:
        request.node.add_report_section("teardown", "cluster", "\n".join(started.lines))
