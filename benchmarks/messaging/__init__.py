"""Systems that carry messages between two processes, each behind the same names.

A module here has ``serve``, which answers questions and counts what comes one way, and ``DRIVER``,
the ``Driver`` that asks and sends. Each runs in a process of its own, and is given the port to meet
at and a secret to share.
"""
