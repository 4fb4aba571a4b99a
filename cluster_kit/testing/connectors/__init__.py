"""``ConnectorConformance``: the contract of ``cluster_kit.abc.Connector``, one test for each rule.

``stage`` is what an author overrides, and how rules are played; ``peers`` are those whom a
connector meets. The other modules are the rules, by what they are about.
"""

from __future__ import annotations

from cluster_kit.testing.connectors.closing import ClosingRules
from cluster_kit.testing.connectors.diagnosing import DiagnosingRules
from cluster_kit.testing.connectors.losses import LossRules
from cluster_kit.testing.connectors.messaging import MessageRules
from cluster_kit.testing.connectors.opening import OpeningRules
from cluster_kit.testing.connectors.serving import ServingRules
from cluster_kit.testing.connectors.strangers import StrangerRules


class ConnectorConformance(
    ServingRules,
    OpeningRules,
    ClosingRules,
    MessageRules,
    LossRules,
    StrangerRules,
    DiagnosingRules,
):
    """Subclass it as ``Test...`` and override ``make_connector``; a transport other than TCP needs
    ``listen_raw`` and ``dial_raw``, too. Every other override is optional.

    A connector with ``holds_links = False``, or without ``carries_messages``, gets the rules that
    apply to it, the others are skipped.
    """
