"""The private way between a supervisor and its worker, and what a worker does when the other end is gone.

``channel`` is the contract that a worker talks by, ``socket_channel`` has it over a pair of sockets between two processes;
``cluster_kit.testing`` has one in memory, for many workers in one process.
"""
