"""What goes over the network: values, their bytes, and the order in which they may come. No I/O.

Bytes that come in are hostile: a decoder checks every length before it relies on it, and raises
``RemoteProtocolError`` and nothing else.
"""
