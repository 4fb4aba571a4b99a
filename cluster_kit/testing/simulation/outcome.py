"""The outcome of a simulation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from cluster_kit.events import Reason
from cluster_kit.testing.memory.host import Traffic
from cluster_kit.testing.simulation.invariants.findings import Finding, Law
from cluster_kit.testing.simulation.scripts.script import Script

_MAX_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A node was reported as down or lost although it was there and reachable all the time.

    Attributes:
        at_s: When, in simulated seconds.
        who: The node that reported it to its application.
        whom: The node that was there.
        what: ``down`` or ``lost``.
        reason: The reason given.
    """

    at_s: float
    who: str
    whom: str
    what: str
    reason: Reason

    def __str__(self) -> str:
        return f"{self.at_s:.3f} s, {self.who}: {self.what} {self.whom}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a simulation.

    Attributes:
        seed: Of all randomness.
        script: What happened.
        calm_s: When the last disturbance was over.
        agreed_s: When the last view first agreed with the truth; ``None`` if some never did.
        ended_s: How long it lasted.
        bound_s: Within how many seconds from ``calm_s`` all views had to agree.
        links: How many links each node that runs has at the end.
        traffic: What the machine of each node sent and received.
        false_alarms: Nodes that were taken for dead, but weren't.
        findings: The first violations of each invariant, in the order of time, so causes before
            effects.
        counts: How often each invariant was violated.
        digest: The hash of the trace.
        node_s: For how many seconds all nodes together ran.
    """

    seed: int
    script: Script
    calm_s: float
    agreed_s: float | None
    ended_s: float
    bound_s: float
    links: tuple[int, ...]
    traffic: tuple[Traffic, ...]
    false_alarms: tuple[FalseAlarm, ...]
    findings: tuple[Finding, ...]
    counts: Mapping[Law, int]
    digest: str
    node_s: float

    @property
    def is_good(self) -> bool:
        """Whether no invariant is violated."""
        return not self.findings

    def lines(self) -> Iterator[str]:
        """Yield lines to print, which are the same for the same seed."""
        yield f"simulated   {self.ended_s:.3f} s, {self.node_s:.0f} node-seconds"
        yield f"calm        from {self.calm_s:.3f} s on"
        if self.agreed_s is None:
            waited_s = self.ended_s - self.calm_s
            bound = f"; the bound is {self.bound_s:.1f} s" if waited_s < self.bound_s else ""
            yield f"agreement   none within {waited_s:.1f} s{bound}"
        else:
            after_s = max(0.0, self.agreed_s - self.calm_s)
            yield (
                f"agreement   {after_s:.3f} s later, at {self.agreed_s:.3f} s; the bound is "
                f"{self.bound_s:.1f} s"
            )
        if self.links:
            fewest, most, mean = min(self.links), max(self.links), fmean(self.links)
            yield f"links       {fewest} to {most} a node, {mean:.2f} on average"
        if self.traffic and self.node_s:
            packets = sum(each.packets_sent for each in self.traffic) / self.node_s
            sent = sum(each.bytes_sent for each in self.traffic) / self.node_s
            yield f"sent        {packets:.1f} packets and {sent:.0f} bytes a second by a node"
        yield f"false       {len(self.false_alarms)} alarms"
        yield from (f"            {alarm}" for alarm in self.false_alarms[:_MAX_SHOWN])
        yield f"invariants  {'all hold' if self.is_good else 'violated'}"
        for law in dict.fromkeys(finding.law for finding in self.findings):
            yield f"            {self.counts[law]} x {law}"
            findings = [finding for finding in self.findings if finding.law is law]
            for each in findings[:_MAX_SHOWN]:
                yield f"              {each.at_s:.3f} s, {each.who}: {each.what}"
        yield f"trace       {self.digest}"
