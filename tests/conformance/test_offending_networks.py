"""Networks in memory, with one fault each."""

from offenders import caught

TestOffenders = caught("offending_networks", at_once=1)
TestOffendingStreams = caught("offending_streams", at_once=1)
TestOffendingDatagrams = caught("offending_datagrams", at_once=1)
