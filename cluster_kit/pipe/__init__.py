"""The private way between a supervisor and its worker, and what a worker does when the other end is gone.

``channel`` is the contract that a worker talks by, ``socket_channel`` has it over a pair of sockets between two processes. Who
runs many workers in one process brings an implementation in memory.
"""
