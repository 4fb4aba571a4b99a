"""The process of one topology, which talks to its supervisor through a pipe.

Where to look:

- ``__main__``, ``run``: how the process starts and ends; ``environment``, ``freeze_support`` and
  ``host_process`` are about the process as well.
- ``worker``: wires the following parts to each other and to asyncio, and obeys the supervisor.
- ``strategy_runner``, ``connector_runner``: call the plugins, behind the boundary in
  ``plugin_calls`` and ``plugin_values``. ``report_receivers`` is what plugins report to.
- ``membership_driver``: steps the membership, the core that decides what to link to.
- ``outbox``: what goes to the supervisor; ``forwarding``: messages of applications, both ways.
- ``isolation_warnings``, ``trust_warnings``, ``reachability``: what the log says about links that
  can't be made.
- ``examiner``: runs in place of all this for ``cluster-kit doctor``.
"""
