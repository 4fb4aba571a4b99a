"""Scripts: what happens to a simulated cluster, and when.

A ``script`` is a list of steps. ``step`` has their base class, ``steps`` the faults and the list of
all kinds, ``message_steps`` those in which applications send and receive. A script comes from YAML
(``file``) or from a seed (``random_script``, ``random_messages``); ``shrinking`` reduces one that
fails.
"""
