"""A network in memory, in virtual time: hosts, streams, datagrams, and faults as values.

``network`` has the hosts and what lies between them, ``faults`` what can go wrong on the way,
``streams`` behaves as TCP does, ``datagrams`` as UDP with multicast.
"""
