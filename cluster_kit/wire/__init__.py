"""What goes over the network: values and bytes, and the order in which they may come. Nothing here does I/O.

Bytes that come in are hostile: a decoder bounds every length before it believes it, and raises ``RemoteProtocolError`` and
nothing else.
"""
