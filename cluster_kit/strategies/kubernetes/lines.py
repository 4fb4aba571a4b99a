"""Splits the stream of a watch into lines, each a JSON document. Pure."""

from __future__ import annotations

MAX_LINE_BYTES = 8 * 2**20  # etcd accepts objects of 1.5 MiB, so no event is as long


class LineSplitter:
    """Bytes in, whole lines out; an unfinished line waits for more, and is lost at the end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes.

        Raises:
            ValueError: A line is too long.
        """
        head, *rest = data.split(b"\n")
        lines = []
        if rest:
            lines = [b"".join([*self._parts, head]), *rest[:-1]]
            self._parts, self._size, head = [], 0, rest[-1]
        self._parts.append(head)
        self._size += len(head)
        if self._size > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
        return [line for line in lines if line.strip()]
