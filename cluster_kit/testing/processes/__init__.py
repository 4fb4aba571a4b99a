"""Programs that a suite runs by ``python -m``, in separate processes.

``peer`` is a node that can be killed and stopped, and ``selections`` asks a topology in a process
with other hashes. They are outside the packages of the suites, which they need not import.
"""
