"""How long what connectors carry may be; for plugins in ``cluster_kit.abc``."""

MAX_PAYLOAD_BYTES = 65_000
"""The longest payload that a connector carries at once; with its framing it fits into 64 KiB."""
MAX_GREETING_BYTES = 320 * 1024
"""The longest greeting: a thousand topics with the longest names."""
