"""Example plugin for cluster_kit: the strategy ``directory``, and a log of joins and leaves."""
