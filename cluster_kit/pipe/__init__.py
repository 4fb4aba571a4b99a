"""The private pipe between a supervisor and its worker, and what ends an orphaned worker.

``channel`` is the contract that workers use; ``socket_channel`` implements it on a pair of sockets.
A simulation that runs many workers in one process has an implementation in memory.
"""
