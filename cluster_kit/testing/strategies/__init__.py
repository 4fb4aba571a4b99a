"""``StrategyConformance``: the contract of ``cluster_kit.abc.Strategy``, one test for each rule.

``overrides`` is what an author says of a strategy, ``bystander`` is a node that can be stopped
dead, and ``said`` looks through what was heard. The other modules are the rules, by what they are
about.
"""

from __future__ import annotations

from cluster_kit.testing.strategies.announcing import AnnouncingRules
from cluster_kit.testing.strategies.diagnosing import DiagnosingRules
from cluster_kit.testing.strategies.ending import EndingRules
from cluster_kit.testing.strategies.observing import ObservingRules
from cluster_kit.testing.strategies.parting import PartingRules
from cluster_kit.testing.strategies.silence import SilenceRules
from cluster_kit.testing.strategies.trouble import TroubleRules


class StrategyConformance(
    ObservingRules,
    EndingRules,
    AnnouncingRules,
    PartingRules,
    SilenceRules,
    TroubleRules,
    DiagnosingRules,
):
    """Subclass it as ``Test...`` and override the fixture ``strategy``; every other override is
    optional.

    Rules that a strategy has no part in are skipped: those on announcing by ``Strategy.announces``,
    those on a broken source unless ``break_source`` is overridden.
    """
