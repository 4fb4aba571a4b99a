"""Connectors in memory, with one fault each."""

from offenders import caught

TestOffenders = caught("offending_connectors", at_once=4)
TestOffendingMessages = caught("offending_messages", at_once=4)
