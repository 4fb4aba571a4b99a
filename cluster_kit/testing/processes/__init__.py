"""What a suite runs in a process of its own, by ``python -m``.

``peer`` is a node that can be killed and stopped, and ``selections`` asks a topology where hashes
of text are others. They are not in the packages of their suites, which such a process has no need
to import.
"""
