"""asyncio's readers and writers on streams in memory, for peers that are not connectors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from cluster_kit.network import Endpoint, Stream
from cluster_kit.testing.memory.host import MemoryHost
from cluster_kit.testing.memory.streams import MemoryStream

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class MemoryTransport(asyncio.Transport):
    """Connects an asyncio protocol to a stream; it never pauses writing."""

    def __init__(self, stream: MemoryStream, protocol: asyncio.StreamReaderProtocol) -> None:
        super().__init__({"peername": tuple(stream.there), "sockname": tuple(stream.here)})
        self._stream = stream
        self._protocol = protocol
        self._is_closing = False
        stream.on_finished = self._finished
        protocol.connection_made(self)
        stream.start(self)

    def received(self, data: memoryview) -> None:
        """Pass the bytes to the protocol."""
        self._protocol.data_received(bytes(data))

    def relieved(self) -> None:
        """Do nothing, since writing was never paused."""

    def _finished(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    def lost(self) -> None:
        """Report the end to the protocol."""
        self._is_closing = True
        self._protocol.connection_lost(None)

    def write(self, data: Any) -> None:
        """Send."""
        self._stream.send(bytes(data))

    def can_write_eof(self) -> bool:
        """Return True: a stream can be half-closed."""
        return True

    def write_eof(self) -> None:
        """Half-close the stream."""
        self._stream.finish_sending()

    def is_closing(self) -> bool:
        """Return whether it is closing or lost."""
        return self._is_closing

    def close(self) -> None:
        """Close once everything is sent."""
        self._is_closing = True
        self._stream.close()

    def abort(self) -> None:
        """Close now."""
        self._is_closing = True
        self._stream.abort()


@asynccontextmanager
async def listening(host: MemoryHost, at: Endpoint, handle: Handle) -> AsyncIterator[Endpoint]:
    """Listen, call ``handle`` with reader and writer of each stream, and yield the address."""

    def accept(stream: Stream) -> None:
        _transport(stream, handle)

    listener = await host.listen(at)
    listener.start(accept)
    try:
        yield listener.here
    finally:
        await listener.close()


async def dialled(host: MemoryHost, to: Endpoint) -> Streams:
    """Open a stream, and return its reader and writer.

    Raises:
        NetworkError: The dial failed.
    """
    transport, protocol, reader = _transport(await host.dial(to), None)
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


def _transport(
    stream: Stream, handle: Handle | None
) -> tuple[MemoryTransport, asyncio.StreamReaderProtocol, asyncio.StreamReader]:
    assert isinstance(stream, MemoryStream)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, handle, loop=loop)
    return MemoryTransport(stream, protocol), protocol, reader
