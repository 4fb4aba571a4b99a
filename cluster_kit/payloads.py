"""Size limits of what connectors carry; plugins import them from ``cluster_kit.abc``."""

MAX_PAYLOAD_BYTES = 65_000
"""The longest payload of one ``send``; with a connector's framing it fits into 64 KiB."""
MAX_GREETING_BYTES = 320 * 1024
"""The longest greeting; room for a thousand topics with the longest names."""
