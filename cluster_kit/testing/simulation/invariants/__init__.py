"""The invariants of a simulation, listed in ``findings.Law``, and the checkers of each.

While the simulation runs:

- ``proxies`` wrap each node's connector and topology plugin: LINKS, COMMANDS, TOPOLOGY.
- ``view`` applies each event as an application would: EVENTS, ROSTER; with ``runs``, RUNS.
- ``messages`` accounts for every message and question: MESSAGES, GAPS, REACH, ROOM, QUESTIONS.
- ``judge`` examines each loss of a node: GOODBYES, and false alarms, which violate no invariant.

Once nothing disturbs the cluster any more, ``judge`` works out the ``truth`` and compares each view
with it after every change. All must agree within the ``bound``: AGREEMENT. The simulation itself
finds violations of SERVING, EXCEPTIONS, TIME, LOG, REPEATS and REAL_WORLD.
"""
