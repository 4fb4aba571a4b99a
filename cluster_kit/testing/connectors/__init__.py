"""``ConnectorConformance``: the contract of ``cluster_kit.abc.Connector``, one test for each rule.

``harness`` has what an author overrides, and ``peers`` the other ends that a connector meets. The
other modules are the rules, by subject.
"""

from __future__ import annotations

from cluster_kit.testing.connectors.closing import ClosingRules
from cluster_kit.testing.connectors.diagnosing import ConnectorDiagnosisRules
from cluster_kit.testing.connectors.lost_peers import LostPeerRules
from cluster_kit.testing.connectors.messaging import MessageRules
from cluster_kit.testing.connectors.opening import OpeningRules
from cluster_kit.testing.connectors.serving import ServingRules
from cluster_kit.testing.connectors.strangers import StrangerRules


class ConnectorConformance(
    ServingRules,
    OpeningRules,
    ClosingRules,
    MessageRules,
    LostPeerRules,
    StrangerRules,
    ConnectorDiagnosisRules,
):
    """Subclass it as ``Test...`` and override ``make_connector``; all else is optional.

    A transport other than TCP also needs ``listen_raw`` and ``dial_raw``. Rules that don't apply to
    a connector are skipped: most of them if ``holds_links`` is false, those on messages unless
    ``carries_messages`` is true.
    """
