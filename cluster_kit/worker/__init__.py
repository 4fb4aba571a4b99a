"""The process of one topology, which talks to its supervisor through a pipe.

``run`` is its life as a process; ``worker`` wires strategies, membership and connector to asyncio.
"""
