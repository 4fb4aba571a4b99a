"""A running cluster, and what each of its nodes has reported.

One loop reads the output of all nodes. What counts as the time of a notice is when this observer
read it. The observer shares the processors with what it observes, so it does little: it splits
lines and keeps one set a node.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Generic, TypeVar

from places import Place
from processes import family, signal_all
from systems import Kind, Seat, System

READ_BYTES = 65536
START_S = 1.0  # for a daemon to listen
PlaceT = TypeVar("PlaceT", bound=Place)


class BenchmarkError(Exception):
    """A node ended by itself, or something expected did not happen in time."""


@dataclass(eq=False, kw_only=True)
class Member:
    """One node: its process, and the nodes that its application believes to be up."""

    seat: Seat
    process: subprocess.Popen[bytes]
    errors: Path
    started_s: float
    ready_s: float | None = None
    up: set[str] = field(default_factory=set)
    rest: bytes = b""

    @property
    def name(self) -> str:
        """Short name."""
        return self.seat.name

    def pids(self) -> list[int]:
        """Return all processes of the node, the application first."""
        return family(self.process.pid)


@dataclass(frozen=True, slots=True)
class Down:
    """One node learned that another is down."""

    observer: str
    subject: str


class Cluster(Generic[PlaceT]):
    """Nodes of one system in one place, and their views; owns their processes and the place."""

    def __init__(self, system: System, place: PlaceT, folder: Path) -> None:
        self.system = system
        self.place = place
        self.members: list[Member] = []
        self.downs: list[Down] = []
        self.changed_s = 0.0
        self._folder = folder
        self._cluster = f"bench-{token_hex(4)}"
        self._environment = {**os.environ, **system.environment()}
        self._selector = selectors.DefaultSelector()
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._numbers = 0

    # -- starting and ending -----------------------------------------------------------------------

    def start(self, count: int) -> list[Member]:
        """Start so many nodes at once, after whatever their hosts need."""
        numbers = range(self._numbers + 1, self._numbers + count + 1)
        self._numbers += count
        for number in numbers:
            self._start_daemon(number, self.place.host(number))
        return [self._start(number) for number in numbers]

    def _start_daemon(self, number: int, host: str) -> None:
        command = self.system.daemon(host)
        if command is None or host in self._daemons:
            return
        self._daemons[host] = self._popen(
            number, command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.observe(START_S)

    def _start(self, number: int) -> Member:
        seat = Seat(
            number=number,
            host=self.place.host(number),
            cluster=self._cluster,
            first_host=self.place.host(1),
        )
        command = self.system.command(seat)
        errors = self._folder / f"{self._cluster}-{seat.name}.stderr"
        with errors.open("wb") as stderr:
            started_s = time.monotonic()
            process = self._popen(number, command, stdout=subprocess.PIPE, stderr=stderr)
        member = Member(seat=seat, process=process, errors=errors, started_s=started_s)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, member)
        self.members.append(member)
        return member

    def _popen(
        self, number: int, command: Iterable[str], **streams: object
    ) -> subprocess.Popen[bytes]:
        argv = self.place.inside(number, list(command))
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            argv, env=self._environment, stdin=subprocess.DEVNULL, start_new_session=True, **streams
        )

    def end(self, member: Member, *, gracefully: bool) -> float:
        """Order a node to leave, or kill all its processes; return when."""
        self.members.remove(member)
        pids = [member.process.pid] if gracefully else member.pids()
        ended_s = time.monotonic()
        signal_all(pids, self.system.leave_signal if gracefully else signal.SIGKILL)
        return ended_s

    def close(self) -> None:
        """Kill everything and undo the place."""
        for member in list(self.members):
            self.end(member, gracefully=False)
        for key in list(self._selector.get_map().values()):
            key.data.process.kill()
            key.data.process.wait()
            key.data.process.stdout.close()
        self._selector.close()
        for daemon in self._daemons.values():
            daemon.kill()
            daemon.wait()
        self.place.close()

    # -- observing ---------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> float:
        """Read until ``condition`` holds; return when the notice was read that made it so."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise BenchmarkError(f"not within {timeout_s:g} s: {what}")
            self._read(0.5)
        return self.changed_s

    def observe(self, seconds: float) -> None:
        """Read for a while."""
        deadline_s = time.monotonic() + seconds
        while (rest_s := deadline_s - time.monotonic()) > 0:
            self._read(rest_s)

    def wait_settled(self, timeout_s: float, quiet_s: float = 3.0) -> float:
        """Read until all are linked and nothing changes; return when the last change came."""
        while True:
            self.wait(self.full_mesh, timeout_s, "full mesh")
            settled_s = self.changed_s
            self.observe(quiet_s)
            if self.changed_s == settled_s and self.full_mesh():
                return settled_s

    def full_mesh(self) -> bool:
        """Whether every node knows all others."""
        return all(len(member.up) == len(self.members) - 1 for member in self.members)

    def all_ready(self) -> bool:
        """Whether every node said that it is ready."""
        return all(member.ready_s is not None for member in self.members)

    def others(self, member: Member) -> list[Member]:
        """Return all nodes but one."""
        return [other for other in self.members if other is not member]

    def told_up(self, member: Member) -> bool:
        """Whether all others know that the node is up."""
        return all(member.name in other.up for other in self.others(member))

    def told_down(self, member: Member) -> bool:
        """Whether all others know that the node is down."""
        return not any(member.name in other.up for other in self.others(member))

    def _read(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            data = os.read(key.fd, READ_BYTES)
            heard_s = time.monotonic()
            if data:
                *lines, key.data.rest = (key.data.rest + data).split(b"\n")
                for line in lines:
                    self._take(key.data, line, heard_s)
            else:
                self._selector.unregister(key.fileobj)
                self._closed(key.data)

    def _take(self, member: Member, line: bytes, heard_s: float) -> None:
        notice = self.system.notice(line)
        if notice is None or notice.subject == member.name:
            return
        if notice.kind is Kind.READY:
            member.ready_s = heard_s
            return
        self.changed_s = heard_s
        if notice.kind is Kind.UP:
            member.up.add(notice.subject)
        else:
            member.up.discard(notice.subject)
            self.downs.append(Down(member.name, notice.subject))

    def _closed(self, member: Member) -> None:
        """Reap a node that was asked to end; complain about any other."""
        assert member.process.stdout is not None
        member.process.stdout.close()
        if member in self.members:
            last = member.errors.read_text(errors="replace").strip().splitlines()[-1:] or [
                "no message"
            ]
            raise BenchmarkError(f"{self.system.name}: {member.name} ended by itself: {last[0]}")
        member.process.wait()
