"""Topologies with one fault each."""

from offenders import caught

TestOffenders = caught("offending_topologies", at_once=1)
