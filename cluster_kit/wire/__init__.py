"""The wire formats: values, their bytes, and the order in which they may come. No I/O.

Input is hostile: a decoder checks every length before it relies on it, and raises nothing but
``RemoteProtocolError``.
"""
