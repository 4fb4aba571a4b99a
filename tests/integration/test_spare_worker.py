"""A worker process that was started ahead serves the first topology, or ends with its owner."""

import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from waiting import until

from cluster_kit import ClusterKitError, Supervisor
from cluster_kit.pipe.messages import Prepare, Stop
from cluster_kit.pipe.socket_channel import SocketChannel
from cluster_kit.supervisor import child
from cluster_kit.supervisor.child import SpareWorker
from cluster_kit.supervisor.status import State
from cluster_kit.worker import run

CONFIG = {
    "node": "ann@127.0.0.1",
    "topologies": {
        "first": {"strategy": {"name": "static", "nodes": []}},
        "second": {"strategy": {"name": "static", "nodes": []}},
    },
}


def test_first_topology_takes_it():
    with SpareWorker() as spare, Supervisor(CONFIG, spare=spare) as supervisor:
        workers = {status.pid for status in supervisor.status().values()}
        assert {process.pid for process in psutil.Process().children()} == workers
        assert spare.take() is None


def test_unused_worker_ends_with_its_owner():
    with SpareWorker():
        [worker] = psutil.Process().children()
    assert not worker.is_running()


def test_dead_spare_worker_is_replaced():
    with SpareWorker() as spare:
        [worker] = psutil.Process().children()
        worker.kill()
        worker.wait(10)
        with Supervisor(CONFIG, spare=spare) as supervisor:
            until(
                lambda: all(status.state is State.READY for status in supervisor.status().values()),
                "every topology is ready",
            )


def test_without_means_for_a_process_there_is_none(monkeypatch: pytest.MonkeyPatch):
    def refuse(self):
        raise ClusterKitError("no more processes")

    monkeypatch.setattr(child.WorkerProcess, "start", refuse)
    with SpareWorker() as spare:
        assert spare.take() is None


def test_worker_prepares_only_if_no_orders_are_there_yet(
    monkeypatch: pytest.MonkeyPatch,
):
    supervisor, worker = map(SocketChannel, socket.socketpair())
    with closing(supervisor), closing(worker):
        loaded: list[str] = []
        monkeypatch.setattr(run, "load", lambda: loaded.append("ahead") or supervisor.send(Stop()))
        supervisor.send(Prepare())
        assert (run._first_messages(worker), loaded) == ([Stop()], ["ahead"])
        for message in (Prepare(), Stop()):
            supervisor.send(message)
        assert (run._first_messages(worker), loaded) == ([Stop()], ["ahead"])


AHEAD = """
import time
from pathlib import Path

from cluster_kit.supervisor.child import SpareWorker

with SpareWorker() as spare:
    comm = Path(f"/proc/{spare._process.pid}/comm")
    while comm.read_text() != "ckit-worker\\n":
        time.sleep(0.01)
    from cluster_kit import Supervisor
    from cluster_kit.supervisor import reaper

    print(reaper._earlier)
"""


CALLED_OTHERWISE = r"""
import subprocess
import sys

RENAMED = "open('/proc/self/comm', 'wb').write(bytes([97, 255])); print(flush=True); input()"
PIPE = subprocess.PIPE

with subprocess.Popen([sys.executable, "-c", RENAMED], stdin=PIPE, stdout=PIPE) as child:
    child.stdout.readline()  # it is called so by now
    from cluster_kit.supervisor import reaper

    print(reaper._earlier)
    child.communicate(b"\n")
"""


@pytest.mark.skipif(
    not Path("/proc/self/comm").exists(), reason="only Linux tells what a process is called"
)
def test_child_may_be_called_what_is_no_text():
    done = subprocess.run(
        [sys.executable, "-c", CALLED_OTHERWISE], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_spare_started_before_the_import_is_not_taken_for_an_earlier_child():
    done = subprocess.run([sys.executable, "-c", AHEAD], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
