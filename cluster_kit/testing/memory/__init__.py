"""A network in memory, in virtual time: hosts, streams, datagrams, and faults as values.

``network`` has the hosts and the paths between them, and ``faults`` what can go wrong on a path.
``streams`` and ``dialing`` behave like TCP, ``datagrams`` like UDP with multicast.
"""
