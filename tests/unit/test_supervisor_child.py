"""What a worker's exit says of it."""

import pytest

from cluster_kit.supervisor.child import WorkerProcess


@pytest.mark.parametrize(
    ("heard", "exitcode", "normal"),
    [
        (True, 0, True),
        (True, 3, False),
        (True, -9, False),
        (True, 255, False),
        (True, None, False),
        (False, 0, False),
    ],
)
def test_only_a_worker_that_exits_with_code_0_ended_normally(heard, exitcode, normal):
    process = WorkerProcess()
    process.heard, process.exitcode = heard, exitcode
    assert process.ended_normally is normal
