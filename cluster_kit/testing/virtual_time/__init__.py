"""Virtual time for asyncio: it stands still while anybody has something to do, and jumps when all
are idle.

``timeline`` is the time that any number of event loops share, ``loop`` is such an event loop, and
``real_world`` has what it refuses. ``waits`` tells who waits where in a deadlock.
"""
