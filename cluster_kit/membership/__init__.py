"""The pure core of one topology: which peers are known and linked, and what to do about it.

Values in, values out: time and jitter are arguments.
"""
