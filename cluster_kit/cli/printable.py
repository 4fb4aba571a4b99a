"""Text from the network and from plugins, as a terminal can show it. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return ``text`` on one line, with whatever could move the cursor or turn the text around escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
