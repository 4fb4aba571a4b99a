"""The private pipe between a supervisor and its worker, and what ends an orphaned worker.

``channel`` is the contract that workers use, and ``socket_channel`` implements it on a pair of
sockets. A simulation, which runs many workers in one process, implements it in memory. ``messages``
has all that goes through it, except parcels. ``parent`` ends the orphan.
"""
