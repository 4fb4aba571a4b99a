"""A node that discovers in a separate thread and can be stopped dead there."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Protocol, Self

from cluster_kit.abc import Discovery, Strategy
from cluster_kit.testing.listener import Listener


class Freezable(Protocol):
    """A node that can be stopped dead."""

    def freeze(self) -> None:
        """Stop the node: it keeps what it has open and does nothing more. Idempotent."""


class Bystander:
    """Discovers inside a ``with`` block, until ``freeze``."""

    def __init__(self, strategy: Strategy, ctx: Discovery) -> None:
        self._strategy = strategy
        self._ctx = ctx
        self._loop = asyncio.new_event_loop()
        self._frozen = threading.Event()
        self._thawed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bystander", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thawed.set()
        self.freeze()
        self._thread.join()

    def freeze(self) -> None:
        """Stop its event loop."""
        if not self._frozen.is_set():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._frozen.wait()

    def _run(self) -> None:
        listener = Listener(self._strategy, self._ctx)
        # as a task of this run of the loop, which may be stopped at once
        entering = self._loop.create_task(listener.__aenter__())
        self._loop.run_forever()
        self._frozen.set()
        self._thawed.wait()
        self._loop.run_until_complete(entering)
        self._loop.run_until_complete(listener.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
