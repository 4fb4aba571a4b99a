"""The safeguards of the product: how to switch each one off, and what must then fail."""

from math import inf

import families
from forging import Forging
from hunting import FALSE_ALARM, SLOW, Family, Safeguard
from message_safeguards import MESSAGE_SAFEGUARDS

from cluster_kit.abc import Gone
from cluster_kit.connectors.tcp.arbitration import Verdict, judge
from cluster_kit.events import Reason
from cluster_kit.membership.peer import PeerStatus
from cluster_kit.retry import Backoff
from cluster_kit.strategies.gossip.engine import IgnoredDatagram
from cluster_kit.strategies.gossip.peers import Novelty
from cluster_kit.testing.simulation.invariants.findings import Law
from cluster_kit.wire.gossip import Kind
from cluster_kit.wire.link import LinkState

STATIC = {"strategy": "static"}
QUICK = {"name": "gossip", "interval_s": 0.3, "ttl_s": 2}
FORGED_LEAVING = {"strategy": {"name": Forging, "leaving": True}}
K_REGULAR = {"strategy": "gossip", "topology": "k_regular"}


class UnattendedClock:
    """Counts all time, also that in which its process did not run."""

    def __init__(self, monotonic, period_s):
        self.now_s = monotonic

    def tick(self):
        return 0.0


def nothing(*_, **__):
    return None


def always(value):
    return lambda *_, **__: value


def refuse_all_that_cross(case):
    verdict = judge(case)
    return (
        Verdict.CROSSED
        if verdict is Verdict.ANSWER and case.our_dial is LinkState.GREETED
        else verdict
    )


def believe_any_boot(self, source, name, boot_id):
    return [(name, source)] if self.claimed_by(source, name) else []


def admit_everybody(self, node, source):
    return not self._is_own(node)


def nothing_new(self, us):
    return iter(())


def hold_without_a_probe(self, newcomer):
    self.connections.held[newcomer.name] = newcomer


def gone_only_who_left(name, reason, boot_id=None):
    return Gone(name, reason, boot_id) if reason is Reason.LEFT else IgnoredDatagram("")


def take_any_run(self, said, now_s):
    if now_s < self._goodbyes.get(said.node.boot_id, -inf):
        return Novelty.LATE
    before = self._statements.get(said.node.key)
    return Novelty.KNOWN if before and said.says_the_same_as(before) else Novelty.NEW


def lose_what_is_held(self, peer, now_s, *, known, up, leaving, reason, lost=None):
    state = PeerStatus(
        known, up, reason, reason if up is None and peer.reported_up else None, leaving
    )
    if self._rate.at_s(peer.report_paid_s, now_s, NEWS_BURST) <= now_s:
        self._report(peer, state, now_s)


NEWS_BURST = 3

BELIEVES_NO_GOODBYE = {"membership.departures:Departures.has_ended": always(False)}
"""Switches off the membership's own memory of goodbyes, which backs up that of the strategies."""

SAFEGUARDS = [
    # late is not dead
    Safeguard(
        name="the worker judges silence by attended time",
        off={"worker.worker:AttendedClock": UnattendedClock},
        family=Family(make=families.long_freeze),
        finds=FALSE_ALARM,
    ),
    Safeguard(
        name="tcp judges silence by attended time",
        off={"connectors.tcp.hub:AttendedClock": UnattendedClock},
        family=Family(make=families.short_freeze),
        finds=FALSE_ALARM,
    ),
    # silence
    Safeguard(
        name="a silent link is given up",
        off={"connectors.tcp.hub:TcpHub._give_up": nothing},
        family=Family(make=families.power_off),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="a node that is not heard expires",
        off={"membership.roster:Roster.expire": always([])},
        family=Family(make=families.crash),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="handshakes have a deadline",
        off={"connectors.tcp.hub:HANDSHAKE_S": inf},
        family=Family(make=families.interrupted_handshakes),
        finds=Law.AGREEMENT,
    ),
    # which run
    Safeguard(
        name="a late packet of an earlier run is recognised",
        off={"strategies.gossip.peers:HeardPeers._judge": take_any_run, **BELIEVES_NO_GOODBYE},
        family=Family(make=families.successors),
        finds=Law.RUNS,
    ),
    Safeguard(
        name="a goodbye outlaws packets that it has overtaken",
        off={"strategies.gossip.peers:BELATED_S": 0.0, **BELIEVES_NO_GOODBYE},
        family=Family(make=families.overtaken),
        finds=Law.RUNS,
    ),
    Safeguard(
        name="a goodbye counts for one run only",
        off={"membership.sources:Sources._revoked": believe_any_boot},
        family=Family(make=families.successors),
        finds=Law.RUNS,
    ),
    Safeguard(
        name="a run replaces one that looks newer because a clock was set back",
        off={"strategies.gossip.engine:Gone": gone_only_who_left},
        family=Family(make=families.clock_set_back, topology=K_REGULAR, within_s=3.0),
        finds=SLOW,
    ),
    Safeguard(
        name="hints about a run that has left are ignored",
        off={"connectors.tcp.exchange:_MAX_LEFT": 0, **BELIEVES_NO_GOODBYE},
        family=Family(make=families.late_farewell, topology=STATIC),
        finds=Law.RUNS,
    ),
    Safeguard(
        name="packets in flight do not bring back a run that said goodbye",
        off=BELIEVES_NO_GOODBYE,
        family=Family(make=families.goodbye_amid_starvation, topology={"strategy": QUICK}),
        finds=Law.RUNS,
    ),
    # forged packets
    Safeguard(
        name="a goodbye by gossip counts once the link is down",
        off={"membership.rules:Rules._would_announce_departure": always(False)},
        family=Family(
            make=families.during_forgery,
            topology={"strategy": {"name": Forging, "kinds": (int(Kind.GOODBYE),)}},
        ),
        finds=FALSE_ALARM,
    ),
    Safeguard(
        name="a linked peer is leaving only if it says so itself",
        off={"membership.departures:Departures.is_hearsay": always(False)},
        family=Family(make=families.during_forgery, topology=FORGED_LEAVING, within_s=1.0),
        finds=SLOW,
    ),
    Safeguard(
        name="a peer is leaving only as long as that is announced",
        off={"membership.departures:Departures.drop_hearsay": always([])},
        family=Family(make=families.partition_after_forgery, topology=FORGED_LEAVING),
        finds=Law.AGREEMENT,
    ),
    # several connections
    Safeguard(
        name="the lower name breaks the tie of crossed dials",
        off={"connectors.tcp.steps:judge": refuse_all_that_cross},
        family=Family(make=families.crossing, topology=STATIC),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="an existing link is probed before a newcomer replaces it",
        off={"connectors.tcp.steps:LinkSteps._hold": hold_without_a_probe},
        family=Family(make=families.reborn, within_s=3.0),
        finds=SLOW,
    ),
    # wishes
    Safeguard(
        name="a changed wish for a link is sent",
        off={"connectors.tcp.connection:Connection.changes": nothing_new},
        family=Family(make=families.churn, topology=K_REGULAR),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="at most one command is in flight for a peer",
        off={"membership.peer:Peer.is_busy": False},
        family=Family(make=families.churn),
        finds=Law.COMMANDS,
    ),
    # dials
    Safeguard(
        name="lost peers are remembered",
        off={"membership.memory:Memory._has_room": always(False)},
        family=Family(make=families.orphans, topology=STATIC),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="the back-off is bounded",
        off={"membership.reconciler:_BACKOFF": Backoff(0.1, inf)},
        family=Family(make=families.two_apart, topology=STATIC),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="there is a back-off",
        off={"retry:Backoff.delay_s": always(0.0)},
        family=Family(make=families.crash, topology={**STATIC, "topology": "ring"}),
        finds=Law.COMMANDS,
    ),
    Safeguard(
        name="a peer that shows up is dialled soon",
        off={"membership.reconciler:Reconciler.dial_soon": nothing},
        family=Family(make=families.halves, within_s=3.0),
        finds=SLOW,
    ),
    Safeguard(
        name="a slow dial makes way for a new one",
        off={"membership.command_queue:CommandQueue.dismiss": nothing},
        family=Family(make=families.halves, within_s=1.7),
        finds=SLOW,
    ),
    Safeguard(
        name="dials to silent machines make way",
        off={"membership.command_queue:CommandQueue._evictable_at_s": always(inf)},
        family=Family(
            make=families.black_holes,
            topology=STATIC,
            within_s=3.0,
            scaled={
                "membership.reconciler:MAX_HOPEFUL": 1,
                "membership.reconciler:MAX_DOUBTFUL": 1,
            },
        ),
        finds=SLOW,
    ),
    # gossip
    Safeguard(
        name="a newcomer announces itself more than once",
        off={"strategies.gossip.engine:ANNOUNCE_AT_S": (0.0,)},
        family=Family(make=families.unheard_newcomer, within_s=0.5),
        finds=SLOW,
    ),
    Safeguard(
        name="the heartbeat of an unknown node is answered at once",
        off={"strategies.gossip.engine:GossipEngine._welcome": always([])},
        family=Family(make=families.halves, within_s=1.0),
        finds=SLOW,
    ),
    Safeguard(
        name="a goodbye is sent more than once",
        off={"strategies.gossip.session:GOODBYES": 1},
        family=Family(make=families.goodbye, loss=0.05, within_s=3.0),
        finds=SLOW,
    ),
    # exchange
    Safeguard(
        name="hints expire",
        off={"connectors.tcp.exchange:HINT_TTL_S": inf, "connectors.tcp.exchange:LOST_TTL_S": inf},
        family=Family(make=families.crash, topology=STATIC),
        finds=Law.AGREEMENT,
    ),
    Safeguard(
        name="hints over a broken link expire earlier",
        off={"connectors.tcp.exchange:LOST_TTL_S": 15.0},
        family=Family(make=families.crash, topology=STATIC, within_s=12.5),
        finds=SLOW,
    ),
    # bounds
    Safeguard(
        name="a roster holds max_nodes",
        off={"membership.sources:Sources._admits": admit_everybody},
        family=Family(make=families.nothing(5), topology={"strategy": "gossip", "max_nodes": 3}),
        finds=Law.ROSTER,
    ),
    Safeguard(
        name="a node recognises itself",
        off={"membership.sources:Sources._is_own": always(False)},
        family=Family(make=families.nothing(3), topology={**STATIC, "topology": "ring"}),
        finds=Law.ROSTER,
    ),
    Safeguard(
        name="the last of several held-back events is delivered",
        off={"membership.notifier:Notifier.show": lose_what_is_held},
        family=Family(make=families.restless, scaled={"membership.notifier:BURST": NEWS_BURST}),
        finds=Law.AGREEMENT,
    ),
    *MESSAGE_SAFEGUARDS,
]
