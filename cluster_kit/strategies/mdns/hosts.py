"""The addresses of hosts, as they were received. Pure.

zeroconf's cache doesn't serve here: once it is full, it first forgets the records with the shortest
lives, such as those of our nodes.

Source: RFC 6762, section 10.2 for records that replace others.
"""

from __future__ import annotations

from typing import NamedTuple

from cluster_kit.strategies.mdns.options import MAX_TTL_S

MAX_HOSTS = 10_000
MAX_ADDRESSES = 32  # of one host
GRACE_S = 1.0  # addresses that arrive within this time belong together


class _HeardAddress(NamedTuple):
    at_s: float
    until_s: float


class Hosts:
    """A bounded number: a new host replaces the one heard longest ago."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, _HeardAddress]] = {}

    def hear(self, host: str, address: str, now_s: float, *, ttl_s: float, replaces: bool) -> None:
        """Record an address.

        Args:
            host: The host that has it.
            address: The address.
            now_s: When it was heard.
            ttl_s: For how long it counts; 0 means that it is gone.
            replaces: Whether it ends older addresses of its family.
        """
        key = host.lower()
        addresses = self._heard.pop(key, {})
        if replaces:
            family = ":" in address
            kept = addresses.items()
            addresses = {
                each: heard
                for each, heard in kept
                if (":" in each) != family or now_s - heard.at_s < GRACE_S
            }
        addresses.pop(address, None)
        if ttl_s > 0 and len(addresses) < MAX_ADDRESSES:
            addresses[address] = _HeardAddress(now_s, now_s + min(ttl_s, MAX_TTL_S))
        if addresses:
            self._heard[key] = addresses
        if len(self._heard) > MAX_HOSTS:
            del self._heard[next(iter(self._heard))]

    def addresses_of(self, host: str, now_s: float) -> list[str]:
        """Return the addresses that have not expired, in the order of arrival."""
        known = self._heard.get(host.lower(), {})
        return [address for address, heard in known.items() if now_s < heard.until_s]
