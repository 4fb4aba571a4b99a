"""Strategies with one fault each."""

from offenders import caught

TestOffenders = caught("offending_strategies", at_once=4)
