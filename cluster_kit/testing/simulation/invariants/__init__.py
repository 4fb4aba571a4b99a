"""What has to hold in a simulation, and who sees to it.

``findings`` has the laws. ``watching`` and ``view`` stand where a connector, a topology and an
application do, and tell what breaks one; ``runs`` knows which run of a node is which. ``judge``
compares views with the ``truth``, with which they must agree within the ``bound``.
"""
