"""What happens to a cluster while it is measured, and how long everybody takes to notice.

A life is one cluster from its formation to its end. It yields a sample after each thing that
happens to it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from nodes import Cluster, Down, Member
from places import Bridge, Place
from processes import cpu_s, pss_mib, signal_all

FORM_S = 120.0
NOTICE_S = 120.0
QUIET_S = 1.5
IDLE_S = 60.0
CUT_S = 20.0
FLAP_S = 3.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured value; ``measure`` is a key of ``report.MEASURES``."""

    measure: str
    value: float


def form(cluster: Cluster[Place], n: int) -> Iterator[Sample]:
    members = cluster.start(n)
    full_s = cluster.wait(cluster.full_mesh, FORM_S, f"full mesh of {n}")
    cluster.wait(cluster.all_ready, FORM_S, "all ready")
    yield Sample("formation", full_s - members[-1].started_s)
    yield Sample(
        "formation_ready", max(0.0, full_s - max(member.ready_s or 0.0 for member in members))
    )
    yield Sample("formation_cpu", cpu_s([pid for member in members for pid in member.pids()]) / n)


def change(cluster: Cluster[Place]) -> Iterator[Sample]:
    """Two nodes join; one is killed, one leaves."""
    newcomer = yield from _join(cluster)
    cluster.observe(QUIET_S)
    killed_s = cluster.end(newcomer, gracefully=False)
    yield Sample("crash", _told_down(cluster, newcomer) - killed_s)
    cluster.observe(QUIET_S)
    newcomer = yield from _join(cluster)
    cluster.observe(QUIET_S)
    left_s = cluster.end(newcomer, gracefully=True)
    yield Sample("leave", _told_down(cluster, newcomer) - left_s)
    cluster.observe(QUIET_S)


def _join(cluster: Cluster[Place]) -> Iterator[Sample]:
    cluster.observe(QUIET_S)
    (newcomer,) = cluster.start(1)
    told_s = cluster.wait(lambda: cluster.told_up(newcomer), FORM_S, "all told of the newcomer")
    cluster.wait(cluster.all_ready, FORM_S, "newcomer ready")
    yield Sample("join", told_s - newcomer.started_s)
    yield Sample("join_ready", max(0.0, told_s - (newcomer.ready_s or 0.0)))
    return newcomer


def freeze(cluster: Cluster[Place]) -> Iterator[Sample]:
    """One node is stopped, and continued once all others know."""
    victim, known = cluster.members[0], len(cluster.downs)
    pids = victim.pids()
    frozen_s = time.monotonic()
    signal_all(pids, signal.SIGSTOP)
    yield Sample("frozen", _told_down(cluster, victim) - frozen_s)
    cluster.observe(QUIET_S)
    thawed_s = time.monotonic()
    signal_all(pids, signal.SIGCONT)
    yield Sample("thawed", cluster.wait_settled(NOTICE_S) - thawed_s)
    yield Sample("frozen_alarms", _false_alarms(cluster.downs[known:], victim))


def replace_worker(cluster: Cluster[Place]) -> Iterator[Sample]:
    """One node loses the processes below its application."""
    victim = cluster.members[0]
    killed_s = time.monotonic()
    signal_all(victim.pids()[1:], signal.SIGKILL)
    cluster.wait(lambda: not victim.up or cluster.told_down(victim), NOTICE_S, "worker missed")
    yield Sample("worker", cluster.wait_settled(NOTICE_S) - killed_s)


def idle(cluster: Cluster[Bridge]) -> Iterator[Sample]:
    """Nothing happens for a minute."""
    cluster.observe(10.0)
    pids = [pid for member in cluster.members for pid in member.pids()]
    bytes_before, packets_before = cluster.place.sent()
    cpu_before, began_s = cpu_s(pids), time.monotonic()
    cluster.observe(IDLE_S)
    seconds, cpu = time.monotonic() - began_s, cpu_s(pids) - cpu_before
    sent, packets = cluster.place.sent()
    nodes = len(cluster.members)
    yield Sample("idle_cpu", cpu / nodes * 60.0 / seconds)
    yield Sample("idle_pss", pss_mib(pids) / nodes)
    yield Sample("idle_bytes", (sent - bytes_before) / nodes / seconds)
    yield Sample("idle_packets", (packets - packets_before) / nodes / seconds)


def partition(cluster: Cluster[Bridge]) -> Iterator[Sample]:
    """All packets of one node are dropped, until all others know."""
    victim, known = cluster.members[0], len(cluster.downs)
    cut_s = time.monotonic()
    cluster.place.cut(victim.seat.number)
    yield Sample("partition", _told_down(cluster, victim) - cut_s)
    cluster.observe(cut_s + CUT_S - time.monotonic())
    mended_s = time.monotonic()
    cluster.place.mend(victim.seat.number)
    yield Sample("healed", cluster.wait_settled(NOTICE_S) - mended_s)
    yield Sample("partition_alarms", _false_alarms(cluster.downs[known:], victim))


def _told_down(cluster: Cluster[Place], member: Member) -> float:
    return cluster.wait(
        lambda: cluster.told_down(member), NOTICE_S, f"all told that {member.name} is down"
    )


def _false_alarms(downs: list[Down], victim: Member) -> int:
    """Count wrong events: healthy nodes lost each other, or one lost the victim twice."""
    with_victim = [down for down in downs if victim.name in (down.observer, down.subject)]
    return len(downs) - len(set(with_victim))
