"""Waiting for what happens, with a deadline."""

import asyncio
import time


def run(scenario, within_s=90.0):
    """Run a scenario on the system's clock, and return what it returns."""

    async def bounded():
        async with asyncio.timeout(within_s):
            return await scenario()

    return asyncio.run(bounded())


def until(condition, what, timeout_s=30.0):
    """Wait until ``condition()`` is true; fail with ``what`` if it does not become so."""
    deadline_s = time.monotonic() + timeout_s
    while not (result := condition()):
        assert time.monotonic() < deadline_s, f"not seen within {timeout_s:g} s: {what}"
        time.sleep(0.02)  # a poll of state that has no event to wait for
    return result


def next_of(subscription, kind, timeout_s=30.0, **attributes):
    """Return the next event of class ``kind`` with these attributes, skipping others."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        event = subscription.get(max(0.01, deadline_s - time.monotonic()))
        assert event is not None, f"subscription ended before {kind.__name__} {attributes}"
        if isinstance(event, kind) and all(
            str(getattr(event, k)) == str(v) for k, v in attributes.items()
        ):
            return event
