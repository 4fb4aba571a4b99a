"""The options of strategy ``mdns``, and their checks.

The application imports this module too, so it loads neither an event loop nor another package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Literal, get_args

from cluster_kit.abc import Strategy
from cluster_kit.config.bounds import Bounds, faults_of_bounds
from cluster_kit.errors import raise_all
from cluster_kit.fault import Fault
from cluster_kit.host import ip_of, is_interface

MIN_TTL_S = 5  # a shorter one would keep everybody asking
MAX_TTL_S = 4500  # what RFC 6762, section 10 recommends for records that hardly ever change
LOOPBACK = "lo"

IpVersion = Literal["v4", "v6", "all"]

_SERVICE_TYPE = re.compile(
    r"_(?=[^.]*[a-z])[a-z0-9](?:-?[a-z0-9]){0,14}\._(?:tcp|udp)\.local\.", re.IGNORECASE
)
_MAX_SERVICE_CHARS = 16  # with its underscore; RFC 6335, section 5.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MdnsOptions(Strategy):
    """Registers this node as a service, and vouches for those that are registered.

    Args:
        interfaces: The interfaces to use, each an address or a name such as ``eth0``; by default
            that of the host part of the node's name.
        ip_version: ``v4``, ``v6`` or ``all``: the protocols to use.
        service_type: The type of service to register; the same on all nodes.
        ttl_s: For how many whole seconds others may rely on an announcement; a crashed node stays
            known for so long.
    """

    interfaces: tuple[str, ...] = ()
    ip_version: IpVersion = "v4"
    service_type: str = "_clusterkit._tcp.local."
    ttl_s: Annotated[int, Bounds(ge=MIN_TTL_S, le=MAX_TTL_S)] = 30

    def __post_init__(self) -> None:
        raise_all(_faults(self))


def _faults(options: MdnsOptions) -> Iterator[Fault]:
    if find_spec("zeroconf") is None:
        what = "mdns needs the package zeroconf"
        yield Fault((), what, "run pip install 'cluster-kit[mdns]'")
    for index, each in enumerate(options.interfaces):
        if ip_of(each) is None and not is_interface(each):
            what = f"{each!r} is neither an address nor the name of an interface such as eth0"
            yield Fault(("interfaces", index), what)
    if options.ip_version not in get_args(IpVersion):
        what = f"invalid value {options.ip_version!r}: expected v4, v6 or all"
        yield Fault(("ip_version",), what)
    service = options.service_type.partition(".")[0]
    if not _SERVICE_TYPE.fullmatch(options.service_type) or len(service) > _MAX_SERVICE_CHARS:
        what = (
            f"invalid value {options.service_type[:80]!r}: expected _name._tcp.local. with a name "
            "of 1 to 15 letters, digits and single hyphens"
        )
        yield Fault(("service_type",), what, "give all nodes the same")
    yield from faults_of_bounds(options)
