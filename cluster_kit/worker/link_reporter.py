"""What the connector reports about links, on its way to the membership and to the application."""

from __future__ import annotations

import logging
from typing import Any

from cluster_kit.abc import Seen
from cluster_kit.errors import name_taken
from cluster_kit.events import Reason, TopologyEvent
from cluster_kit.membership import reports
from cluster_kit.membership.membership import Membership
from cluster_kit.membership.roster import EXCHANGE
from cluster_kit.node import Node
from cluster_kit.throttle import Throttle
from cluster_kit.worker.forwarding import Forwarding
from cluster_kit.worker.local_node import LocalNode
from cluster_kit.worker.membership_driver import MembershipDriver
from cluster_kit.worker.plugin_values import check_plain

log = logging.getLogger("cluster_kit.worker")


class LinkReporter:
    """The ``LinkReport`` of one connector.

    Attributes:
        rtts: The latest round-trip time to each linked node, in seconds.
        secret_ids: The ids of the secrets that each linked node holds; it uses the first.
    """

    def __init__(
        self,
        membership: Membership,
        driver: MembershipDriver,
        forwarding: Forwarding,
        *,
        here: LocalNode,
        partial: bool,
    ) -> None:
        assert here.node.boot_id is not None, "a worker has one from its start"
        self.fence = here.fence
        self.boot_id = here.node.boot_id
        self.partial = partial
        self.network = here.network
        self.security = here.security
        self.rtts: dict[str, float] = {}
        self.secret_ids: dict[str, tuple[bytes, ...]] = {}
        self._membership = membership
        self._driver = driver
        self._forwarding = forwarding
        self._throttle = Throttle()

    @property
    def greeting(self) -> bytes:
        """See ``LinkReport.greeting``."""
        return self._forwarding.greeting

    def up(self, node: Node, *, greeting: bytes | None = None, told: bytes = b"") -> None:
        """See ``LinkReport.up``.

        Raises:
            TypeError: The greeting isn't ``bytes``.
            ValueError: It is too long.
        """
        self._forwarding.up(node, greeting, told)
        self._driver.report(reports.LinkUp(node))

    def message(self, node: Node, payload: bytes) -> None:
        """See ``LinkReport.message``.

        Raises:
            TypeError: The payload isn't ``bytes``.
            ValueError: It is too long.
        """
        self._forwarding.message(node, payload)

    def down(self, node: Node, reason: Reason) -> None:
        """See ``LinkReport.down``."""
        self._forwarding.down(node)
        self.rtts.pop(node.key, None)
        self.secret_ids.pop(node.key, None)
        self._driver.report(reports.LinkDown(node, Reason(reason)))

    def updated(self, node: Node) -> None:
        """See ``LinkReport.updated``."""
        self._driver.report(reports.LinkUpdated(node))

    def leaving(self, node: Node) -> None:
        """See ``LinkReport.leaving``."""
        self._driver.report(reports.LinkLeaving(node))

    def knows(self, node: Node) -> bool:
        """See ``LinkReport.knows``."""
        return self._membership.vouches_for(node)

    def hint(self, node: Node, ttl_s: float) -> None:
        """See ``LinkReport.hint``."""
        self._driver.report(reports.Observed(EXCHANGE, Seen(node, ttl_s)))

    def rtt(self, node: Node, seconds: float) -> None:
        """See ``LinkReport.rtt``."""
        self.rtts[node.key] = seconds

    def secrets(self, node: Node, ids: tuple[bytes, ...]) -> None:
        """See ``LinkReport.secrets``."""
        self.secret_ids[node.key] = ids

    def event(self, kind: str, data: Any) -> None:
        """See ``LinkReport.event``.

        Raises:
            TypeError: ``kind`` isn't a string, or ``data`` isn't plain.
        """
        kind = str.__str__(kind)
        check_plain(data, f"event {kind!r}")
        if kind == "name_conflict" and isinstance(data, dict):
            self.warn_of_conflict(str(data.get("name")))
        self._driver.publish(TopologyEvent(topology=self._membership.name, kind=kind, data=data))

    def warn_of_conflict(self, name: str) -> None:
        """Warn once a minute that another node has this name, however many parts notice it."""
        if self._throttle.passes(name, self._driver.clock.now_s()):
            log.warning("%s", name_taken(name))
