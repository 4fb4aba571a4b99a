"""Rules on the backlog of a stream: the bytes that were sent and are not transmitted yet."""

from __future__ import annotations

from cluster_kit.network import Network, Stream
from cluster_kit.testing.networks.harness import BULK, CLOSE, NetworkHarness
from cluster_kit.testing.rules import contract

MANY_BULKS = 64  # more than a system transmits at once

RELIEVED = "Called when ``unsent_bytes`` is 0 again, unless the stream is closing."


class BacklogRules(NetworkHarness):
    """The backlog is kept and counted, and the sender is notified when it is gone."""

    @contract("How many bytes are held here until the connection takes more.")
    async def test_unread_bytes_count_as_unsent(self, ann: Network, bob: Network) -> None:
        """``unsent_bytes`` grows while the other end doesn't read, and is 0 when it has."""
        async with self.pair(ann, bob) as (ours, theirs):
            assert ours.unsent_bytes == 0
            bulks = await self.fill(ours)
            reader = self.reader(theirs)
            await reader.got(bulks * len(BULK))
            await self.once(
                lambda: ours.unsent_bytes == 0, "no unsent bytes after all was received"
            )

    @contract(RELIEVED)
    async def test_relieved_is_called_when_the_backlog_is_gone(
        self, ann: Network, bob: Network
    ) -> None:
        """``relieved`` is called each time that the backlog is gone, never within ``send``."""
        async with self.pair(ann, bob) as (ours, theirs):
            sender = self.reader(ours)
            bulks = await self.fill(ours)
            before = len(sender.reliefs)
            reader = self.reader(theirs)
            await reader.got(bulks * len(BULK))
            await sender.until(lambda: len(sender.reliefs) > before, "relieved()")
            before = len(sender.reliefs)
            more = 0
            while more < MANY_BULKS and ours.unsent_bytes <= len(BULK):
                ours.send(BULK)
                more += 1
            assert len(sender.reliefs) == before, "relieved() was called within send()"
            await reader.got((bulks + more) * len(BULK))
            await sender.until(lambda: len(sender.reliefs) > before, "relieved() once more")
            assert not any(sender.reliefs), (
                f"relieved() was called while {max(sender.reliefs)} bytes were unsent"
            )

    @contract(RELIEVED)
    async def test_relieved_is_not_called_after_closing(self, ann: Network, bob: Network) -> None:
        """After ``close`` or ``abort``, only ``lost`` is called."""
        for ends in (Stream.close, Stream.abort):
            async with self.pair(ann, bob) as (ours, theirs):
                sender = self.reader(ours)
                await self.fill(ours)
                before = len(sender.reliefs)
                getattr(ours, ends.__name__)()
                self.reader(theirs)
                await self.a_while(ann, bob)
                assert len(sender.reliefs) == before, (
                    f"relieved() was called after {ends.__name__}()"
                )

    @contract(CLOSE)
    async def test_closing_sends_the_rest_first(self, ann: Network, bob: Network) -> None:
        """``close`` loses nothing that was sent before, even a backlog."""
        async with self.pair(ann, bob) as (ours, theirs):
            bulks = await self.fill(ours)
            ours.close()
            reader = self.reader(theirs)
            await reader.ended()
            assert len(reader.data) == bulks * len(BULK), (
                f"{len(reader.data):,} of {bulks * len(BULK):,} bytes were received"
            )
            assert reader.data == BULK * bulks
