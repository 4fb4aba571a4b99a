"""Example plugin for cluster_kit: the strategy ``directory``, and an observer that logs who joins
and leaves.
"""
