"""The file .hosts.erlang: where it is, and how it is read.

Source: Erlang/OTP, Kernel, ``net_adm``, "Files": host names written as Erlang terms, each followed
by a period, ``%`` before a comment; looked for in the current directory, the home directory and the
root directory of Erlang/OTP, in that order.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cluster_kit.host import canonical_host

HOSTS_FILE = ".hosts.erlang"

_BLANK = re.compile(r"(?:\s|%[^\n]*)*")
_TERM = re.compile(r"""'([^'\\\n]+)'|"([^"\\\n]+)"|([a-z][A-Za-z0-9_@]*)""")
_PERIOD = re.compile(r"\.(?=\s|%|$)")


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
    import shutil  # it loads all kinds of compression

    command = shutil.which("erl")
    return Path(command).resolve().parent.parent if command else None


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the hosts that a host file lists, each once and in canonical form.

    Raises:
        ValueError: It isn't such a file; says in which line.
    """
    hosts: dict[str, None] = {}
    at = _skip_blank(text, 0)
    while at < len(text):
        host, at = _take_host(text, at)
        hosts[host] = None
        at = _skip_blank(text, at)
    return tuple(hosts)


def _take_host(text: str, at: int) -> tuple[str, int]:
    term = _TERM.match(text, at)
    if term is None:
        raise ValueError(
            f"line {_line(text, at)}: expected a host name in quotes and a period after it: "
            "'host1.example'."
        )
    host: str = term[1] or term[2] or term[3]
    period = _PERIOD.match(text, _skip_blank(text, term.end()))
    if period is None:
        raise ValueError(
            f"line {_line(text, at)}: a period is missing after {host!r}, or the host name needs "
            "quotes"
        )
    try:
        return canonical_host(host), period.end()
    except ValueError as exc:
        raise ValueError(f"line {_line(text, at)}: {exc}") from exc


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _skip_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    assert blank is not None  # it matches nothing, too
    return blank.end()
