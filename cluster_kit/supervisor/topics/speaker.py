"""Makes the messenger of a switchboard, with the first topic: a supervisor without topics loads nothing of this."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from cluster_kit.supervisor.topics.audience import Audience
from cluster_kit.topics import outcomes
from cluster_kit.topics.messenger import Messenger
from cluster_kit.wire.topics import RUN_BYTES

Takers = Mapping[type, Callable[[Any], None]]


def begin(audience: Audience, max_message_bytes: int | None) -> Messenger:
    """Return a messenger, another run than any before, that listens to what ``audience`` listens to."""
    messenger = Messenger(os.urandom(RUN_BYTES))
    if max_message_bytes is not None:
        messenger.max_message_bytes = max_message_bytes
    for topic in audience.topics:
        messenger.listen(topic, audience.interest(topic))
    return messenger


def takers(audience: Audience, asked: Callable[[Any], None], ended: Callable[[Any], None]) -> Takers:
    """Return who takes each type of outcome."""
    return {
        outcomes.Arrived: audience.arrived,
        outcomes.Missing: audience.missing,
        outcomes.Asked: asked,
        outcomes.Sent: ended,
        outcomes.Replied: ended,
        outcomes.Failed: ended,
        outcomes.Synced: ended,
    }
