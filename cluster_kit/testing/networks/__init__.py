"""``NetworkConformance``: the contract of ``cluster_kit.network``, one test for each rule.

``harness`` has what an author overrides; the other modules are the rules, by subject.
"""

from __future__ import annotations

from cluster_kit.testing.networks.backlog import BacklogRules
from cluster_kit.testing.networks.datagrams import DatagramRules
from cluster_kit.testing.networks.environment import EnvironmentRules
from cluster_kit.testing.networks.streams import StreamRules


class NetworkConformance(StreamRules, BacklogRules, DatagramRules, EnvironmentRules):
    """Subclass it as ``Test...`` and override ``make_network``; all else is optional.

    No rule is about speed: a network may be slow, and run in virtual time.
    """
