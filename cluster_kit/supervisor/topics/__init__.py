"""Messages between applications, as the application sees them.

``Topic`` and ``AsyncTopic`` are what it holds; a switchboard for each topology joins them with the links that its worker has,
by the protocol of ``cluster_kit.topics``. Nothing here but the switchboards is imported before a topic is made.
"""
