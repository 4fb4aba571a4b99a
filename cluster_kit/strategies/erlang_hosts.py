"""Strategy ``erlang_hosts``: every node that the EPMDs of the hosts in .hosts.erlang know.

Source: libcluster ``Cluster.Strategy.ErlangHosts``, lib/strategy/erlang_hosts.ex; OTP
``net_adm:host_file/0``.
Differs: reads the file again before each round and asks again and again; this node registers
itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster_kit.errors import DiscoveryError, cause_of
from cluster_kit.node import Node
from cluster_kit.strategies.epmd.hosts_file import HOSTS_FILE, parse_hosts, search_path
from cluster_kit.strategies.epmd.lookup import EpmdLookup
from cluster_kit.strategies.epmd.options import EpmdQuestion


@dataclass(frozen=True, slots=True, kw_only=True)
class ErlangHostsStrategy(EpmdLookup):
    """Vouches for every name that is registered on the hosts of a file.

    Args:
        path: The file; by default ``.hosts.erlang`` in the current directory, else in the home
            directory, else in that of Erlang/OTP.
    """

    path: Path | None = None

    def targets(self, local: Node) -> tuple[EpmdQuestion, ...]:
        """Ask the EPMD of each host in the file, as it is now, for all its names."""
        return tuple(EpmdQuestion(host, host) for host in self._hosts())

    def _hosts(self) -> tuple[str, ...]:
        candidates = search_path() if self.path is None else (self.path,)
        for path in candidates:
            try:
                return parse_hosts(path.read_text(encoding="utf-8", errors="replace"))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as exc:
                raise DiscoveryError(
                    f"cannot read the host file '{path}': {cause_of(exc)}"
                ) from exc
            except ValueError as exc:
                raise DiscoveryError(f"cannot use the host file '{path}': {exc}") from exc
        places = ", ".join(f"'{path}'" for path in candidates)
        file = HOSTS_FILE if self.path is None else "it"
        raise DiscoveryError(
            f"no host file: looked for {places}; write a line such as 'host1'. for each host to "
            f"{file}"
        )
