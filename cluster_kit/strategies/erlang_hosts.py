"""Strategy ``erlang_hosts``: every node that the EPMDs of the hosts in .hosts.erlang know.

Source: libcluster ``Cluster.Strategy.ErlangHosts``, lib/strategy/erlang_hosts.ex; OTP
``net_adm:host_file/0``.
Differs: reads the file before each round of questions; this node registers itself.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cluster_kit.errors import DiscoveryError, cause_of
from cluster_kit.host import canonical_host
from cluster_kit.node import Node
from cluster_kit.strategies.epmd import EpmdLookup
from cluster_kit.strategies.epmd.options import EpmdQuestion

HOSTS_FILE = ".hosts.erlang"

_BLANK = re.compile(r"(?:\s|%[^\n]*)*")
_TERM = re.compile(r"""'([^'\\\n]+)'|"([^"\\\n]+)"|([a-z][A-Za-z0-9_@]*)""")
_PERIOD = re.compile(r"\.(?=\s|%|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErlangHostsStrategy(EpmdLookup):
    """Vouches for every name that is registered on the hosts of a file.

    Args:
        path: The file; by default ``.hosts.erlang`` in the current directory, else in the home
            directory, else in that of Erlang/OTP.
    """

    path: Path | None = None

    def questions(self, local: Node) -> tuple[EpmdQuestion, ...]:
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
                what = f"cannot read the host file '{path}'"
                raise DiscoveryError(f"{what}: {cause_of(exc)}") from exc
            except ValueError as exc:
                raise DiscoveryError(f"cannot use the host file '{path}': {exc}") from exc
        places = ", ".join(f"'{path}'" for path in candidates)
        file = HOSTS_FILE if self.path is None else "it"
        cure = f"write a line such as 'host1'. for each host to {file}"
        raise DiscoveryError(f"no host file: looked for {places}; {cure}")


def search_path() -> tuple[Path, ...]:
    """Return the files to look for, in order; the last one only where Erlang is installed."""
    home, root = os.environ.get("HOME"), _otp_root()
    folders = [Path(), *([Path(home)] if home else []), *([root] if root else [])]
    return tuple(folder / HOSTS_FILE for folder in folders)


def _otp_root() -> Path | None:
    """Return the root directory of Erlang/OTP: ERL_ROOTDIR, else that of the command ``erl``."""
    root = os.environ.get("ERL_ROOTDIR")
    if root:
        return Path(root)
    import shutil  # imported here, as it loads every compression module

    command = shutil.which("erl")
    return Path(command).resolve().parent.parent if command else None


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts that a host file lists, each once and in canonical form.

    Raises:
        ValueError: It isn't a host file; the message names the line.
    """
    hosts: dict[str, None] = {}
    at = _skip_blank(text, 0)
    while at < len(text):
        host, at = _take_host(text, at)
        hosts[host] = None
        at = _skip_blank(text, at)
    return tuple(hosts)


def _take_host(text: str, at: int) -> tuple[str, int]:
    term, line = _TERM.match(text, at), f"line {_line(text, at)}"
    if term is None:
        expected = "a host name in quotes and a period after it: 'host1.example'."
        raise ValueError(f"{line}: expected {expected}")
    host: str = term[1] or term[2] or term[3]
    period = _PERIOD.match(text, _skip_blank(text, term.end()))
    if period is None:
        what = f"a period is missing after {host!r}, or the host name needs quotes"
        raise ValueError(f"{line}: {what}")
    try:
        return canonical_host(host), period.end()
    except ValueError as exc:
        raise ValueError(f"{line}: {exc}") from exc


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _skip_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None  # it also matches the empty string
    return blank.end()
