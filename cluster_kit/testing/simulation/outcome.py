"""What came of a simulation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean

from cluster_kit.events import Reason
from cluster_kit.testing.memory.host import Traffic
from cluster_kit.testing.simulation.invariants.findings import Finding, Law
from cluster_kit.testing.simulation.scripts.script import Script

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """A node was told to be down or lost that had been there, and reachable, all the time.

    Attributes:
        at_s: When, in simulated seconds.
        who: Whose application was told.
        whom: Of which node.
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
    """What came of a simulation.

    Attributes:
        seed: Of all randomness.
        script: What happened.
        calm_s: When the last disturbance was over.
        agreed_s: When the last view came to agree with the truth, ``None`` where some never did.
        ended_s: How long it lasted.
        bound_s: Within how many seconds from ``calm_s`` they had to agree.
        links: How many links each node that is there has at the end.
        traffic: What the machine of each node sent and received.
        false_alarms: Who was taken for dead and wasn't.
        findings: What is wrong, of each law the first ones, in the order of their times: the cause
            before its effects.
        counts: How often each law was broken.
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
        """Whether no law is broken."""
        return not self.findings

    def lines(self) -> Iterator[str]:
        """Yield lines for a person, which are the same for the same seed."""
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
            yield (
                f"links       {min(self.links)} to {max(self.links)} a node, "
                f"{fmean(self.links):.2f} on average"
            )
        if self.traffic and self.node_s:
            packets, sent = (
                sum(getattr(each, what) for each in self.traffic) / self.node_s
                for what in ("packets_sent", "bytes_sent")
            )
            yield f"sent        {packets:.1f} packets and {sent:.0f} bytes a second by a node"
        yield f"false       {len(self.false_alarms)} alarms"
        yield from (f"            {alarm}" for alarm in self.false_alarms[:_SHOWN])
        yield f"laws        {'all kept' if self.is_good else 'broken'}"
        for law in dict.fromkeys(finding.law for finding in self.findings):
            yield f"            {self.counts[law]} x {law}"
            yield from (
                f"              {each.at_s:.3f} s, {each.who}: {each.what}"
                for each in self._of(law)
            )
        yield f"trace       {self.digest}"

    def _of(self, law: Law) -> list[Finding]:
        return [finding for finding in self.findings if finding.law is law][:_SHOWN]
