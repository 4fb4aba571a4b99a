"""Networks in memory, with one fault each."""

from offenders import caught

TestOffenders = caught("offending_networks", at_once=1)
