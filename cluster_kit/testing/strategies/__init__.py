"""``StrategyConformance``: the contract of ``cluster_kit.abc.Strategy``, one test for each rule.

``harness`` has what an author overrides, and ``bystander`` a node that can be stopped dead. The
other modules are the rules, by subject.
"""

from __future__ import annotations

from cluster_kit.testing.strategies.announcing import AnnouncingRules
from cluster_kit.testing.strategies.diagnosing import StrategyDiagnosisRules
from cluster_kit.testing.strategies.leaving import LeavingRules
from cluster_kit.testing.strategies.observing import ObservingRules
from cluster_kit.testing.strategies.shutdown import ShutdownRules
from cluster_kit.testing.strategies.source_failures import SourceFailureRules


class StrategyConformance(
    ObservingRules,
    ShutdownRules,
    AnnouncingRules,
    LeavingRules,
    SourceFailureRules,
    StrategyDiagnosisRules,
):
    """Subclass it as ``Test...`` and override the fixture ``strategy``; all else is optional.

    Rules that don't apply to a strategy are skipped: those on announcing unless
    ``Strategy.announces`` is true, those on a broken source unless ``break_source`` is overridden.
    """
