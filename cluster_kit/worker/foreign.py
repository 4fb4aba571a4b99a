"""The boundary around what plugins do in a worker: tells our own cancellations from all that they raise.

A plugin may raise what is no ``Exception`` (``SystemExit``, ``CancelledError``, a class of its own), and an exception may have
no text. None of that may end a part of ours in silence.
"""

from __future__ import annotations

import asyncio
import logging

from cluster_kit.errors import ClusterKitError, ConfigError, described

log = logging.getLogger("cluster_kit.worker")


def raise_if_cancelled(exc: BaseException) -> None:
    """Raise ``CancelledError`` if the running task is being cancelled, whatever a plugin made of that."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return
    if isinstance(exc, asyncio.CancelledError):
        raise exc
    log.error("cancelled, it raised %s", described(exc), exc_info=exc)
    raise asyncio.CancelledError from exc


def as_config_error(exc: BaseException, what: str) -> ClusterKitError:
    """Return ``exc`` if it is an error of ours, that the application knows, else one that says what ``what`` raised."""
    if isinstance(exc, ClusterKitError) and type(exc).__module__ == ClusterKitError.__module__:
        return exc
    return ConfigError(f"{what} raised {described(exc)}")
