"""Checks that what a strategy yields is well formed. Pure."""

from __future__ import annotations

import math

from cluster_kit.abc import Failed, Found, Gone, Leaving, Seen
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.errors import ClusterKitError
from cluster_kit.events import Reason
from cluster_kit.node import Node

_REASONS_OF_GONE = (Reason.LEFT, Reason.GONE, Reason.REPLACED)  # all others are about links


def malformed_observation(observation: object) -> str | None:
    """Return what is wrong with an observation, ``None`` if it is well formed."""
    if isinstance(observation, Found):
        sound = all(isinstance(node, Node) for node in observation.nodes)
    elif isinstance(observation, Seen):
        sound = isinstance(observation.node, Node) and 0 < observation.ttl_s < math.inf
    elif isinstance(observation, Gone):
        sound = isinstance(observation.name, str) and observation.reason in _REASONS_OF_GONE
    elif isinstance(observation, Leaving):
        sound = isinstance(observation.name, str)
    else:
        sound = isinstance(observation, Failed) and isinstance(observation.error, ClusterKitError)
    return None if sound else f"not a well-formed observation: {observation!r}"


def malformed_finding(finding: object) -> str | None:
    """Return what is wrong with a finding of a diagnosis, ``None`` if it is well formed."""
    if not isinstance(finding, Finding):
        return f"not a Finding: {finding!r}"
    texts = [finding.asked, finding.got, *([] if finding.cause is None else [finding.cause])]
    if not all(isinstance(text, str) and len(text.splitlines()) == 1 for text in texts):
        return f"every text of a finding must be one line: {finding!r}"
    return None if isinstance(finding.outcome, Outcome) else f"not an Outcome: {finding!r}"
