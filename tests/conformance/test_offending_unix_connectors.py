"""Connectors over Unix sockets, with one fault each."""

from offenders import caught

TestOffenders = caught("offending_unix_connectors", at_once=6)
