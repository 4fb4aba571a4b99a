"""Lives in the application's process: starts workers, replaces those that fail, delivers events.

Where to look:

- ``supervisor``, ``aio``: what applications embed; ``display`` is how it shows itself.
- ``loop``: the supervising thread. ``worker_supervisor``: what it does for each topology, by the
  tables and rules in ``lifecycle`` and ``restart``, which are pure.
- ``child``: how a worker process starts and ends. ``line``: the pipe to it. ``calls``: requests to
  it. ``recursion_guard``, ``reaper``: processes that must not start, and those left from before.
- ``view``, ``bus``, ``delivery``: which nodes there are, and how events reach subscribers.
- ``status``, ``status_tracker``; ``control``, ``control_client``, ``control_files``: the status of
  topologies, and the sockets by which the command line queries it.
- ``reconfiguration``, ``changes``, ``keychain``, ``file_watch``: changes while it runs.
- ``waiting``, ``timeouts``, ``threads``, ``wakeup``, ``logs``: how threads wait, wake, end and log.
- ``topics``: messages between applications.
"""
