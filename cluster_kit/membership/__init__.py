"""The pure core of one topology: which peers are known and linked, and what to do about it.

Values in, values out: time and jitter are arguments. ``peer.py`` is the page to read first: the
record of a peer, and the table of its states. ``membership.py`` is the way in, ``reports.py`` is
what goes in, and ``rules.py`` says what each report changes. The other modules have the rules for
one group of a peer's fields each.
"""
