"""The watches of the Kubernetes API server for tests, and the faults that a test can give them."""

import asyncio
import json
from contextlib import suppress


class Watch:
    """One watch that is under way."""

    def __init__(self, api, response, request, fits):
        self._api = api
        self._response = response
        self._request = request
        self._fits = fits
        self._held = asyncio.Event()
        self._held.set()
        self._over = False

    async def run(self, version, timeout_s):
        if version < self._api.compacted:
            await self.error(
                410, "Expired", f"too old resource version: {version} ({self._api.compacted})"
            )
            return
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(timeout_s):
                while not self._over:
                    version = await self._write_since(version)
                    async with self._api.changed:
                        await self._api.changed.wait_for(
                            lambda at=version: self._over or self._api.version > at
                        )
                    await self._held.wait()

    async def _write_since(self, version):
        lines = []
        history = self._api.history
        first = len(history)
        while first and history[first - 1].version > version:
            first -= 1
        for stored in history[first:]:
            before = stored.before is not None and self._fits(stored.key, stored.before)
            now = stored.now is not None and self._fits(stored.key, stored.now)
            if before or now:
                kind = "ADDED" if not before else "MODIFIED" if now else "DELETED"
                found = stored.now if now else stored.before
                found = {
                    **found,
                    "metadata": {**found["metadata"], "resourceVersion": str(stored.version)},
                }
                lines.append(_line(kind, found))
            version = stored.version
        if lines:
            await self._response.write(b"".join(lines))
        return version

    async def bookmark(self, version=None):
        metadata = {"resourceVersion": str(version or self._api.version), "creationTimestamp": None}
        await self._response.write(
            _line("BOOKMARK", {"kind": "EndpointSlice", "metadata": metadata, "endpoints": None})
        )

    async def error(self, code, reason, message):
        """Send an error in the watch, and end it."""
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        await self._response.write(
            _line("ERROR", {**status, "message": message, "reason": reason, "code": code})
        )
        await self.end()

    async def write(self, data):
        """Send any bytes."""
        await self._response.write(data)

    async def end(self):
        """End the watch cleanly, as when its time is over."""
        self._over = True
        await self._api.notify()

    def stall(self):
        """Send nothing more."""
        self._held.clear()

    async def cut(self):
        """Break the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()
        self._held.set()
        await self.end()


def _line(kind, found):
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"
