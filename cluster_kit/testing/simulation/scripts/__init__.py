"""Scripts: what is to happen to a simulated cluster, wherever it comes from.

``steps`` has each kind of step, and a ``script`` is a list of them. ``file`` reads one from YAML,
``chaos`` makes one up from a seed, and ``shrinking`` makes one that fails smaller.
"""
