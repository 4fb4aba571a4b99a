"""Strategies that announce themselves in a store of expiring keys, with one fault each."""

from offenders import caught

TestOffenders = caught("offending_announcers", at_once=4)
