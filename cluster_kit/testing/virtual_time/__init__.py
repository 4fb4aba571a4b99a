"""Virtual time for asyncio: it stands still while any task can run, and jumps when all are idle.

``timeline`` is the time that any number of event loops share, ``loop`` is such an event loop, and
``run`` is ``asyncio.run`` in one. ``real_world`` has the methods that a loop refuses, and
``waiting_tasks`` finds out where tasks wait in a deadlock.
"""
