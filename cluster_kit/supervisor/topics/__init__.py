"""Messages between applications, as an application sees them.

``Topic`` and ``AsyncTopic`` are its interface. A ``Switchboard`` per topology connects them with
the links of its worker, through a ``Messenger`` of ``cluster_kit.topics``; the docstring there
follows one message through all files. Until the first topic, only the switchboards are imported.
"""
