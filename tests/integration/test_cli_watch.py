"""``cluster-kit watch`` on a terminal: it scrolls, sums up, and shows gone nodes for a while."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
import time

import pytest
from cli_process import COMMAND, Process, cluster_kit
from waiting import until

from cluster_kit import Supervisor

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("control_folder")]

NODES = [f"n{number:02}@127.0.0.1:{4000 + number}" for number in range(40)]
STATIC = {
    "lan": {"strategy": "static", "config": {"nodes": [each.partition("@")[2] for each in NODES]}}
}


class Terminal:
    """A terminal of some size with ``cluster-kit watch`` in it, whose screen can be read."""

    def __init__(self, cluster, *arguments, lines=12, columns=100):
        self._ours, self._its = pty.openpty()
        self.resize(lines, columns)
        self.before = termios.tcgetattr(self._its)
        self.raw = ""
        self.watch = cluster.keep(
            Process(
                COMMAND, "watch", "--interval", "0.1", *arguments, stdin=self._its, stdout=self._its
            )
        )

    def resize(self, lines, columns):
        self._lines = lines
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys):
        os.write(self._ours, keys.encode())

    @property
    def screen(self):
        """The lines of the last complete view."""
        views = self.raw.replace("\x1b[K", "").split("\x1b[H")
        whole = [view.partition("\x1b[J")[0] for view in views if "\x1b[J" in view]
        return re.split("\r+\n", whole[-1]) if whole else []

    def until(self, condition, timeout_s=30.0):
        """Wait until the screen satisfies ``condition``; it must never outgrow the terminal."""
        deadline_s = time.monotonic() + timeout_s
        while not condition(self.screen):
            assert time.monotonic() < deadline_s, f"not seen: {self.screen}"
            self.raw = (self.raw + os.read(self._ours, 65536).decode(errors="replace"))[-200_000:]
        assert len(self.screen) <= self._lines
        return self.screen

    def shows(self, text):
        return self.until(lambda lines: any(text in line for line in lines))

    def close(self):
        """Read to the end of the process, and see that it leaves the terminal as it was."""
        os.set_blocking(self._ours, False)
        until(lambda: self._drain() or self.watch.process.poll() is not None, "the end of watch")
        self._drain()
        assert termios.tcgetattr(self._its) == self.before
        assert self.raw.endswith("\x1b[?7h\x1b[?25h\x1b[?1049l")
        os.close(self._its)
        os.close(self._ours)
        return self.watch.wait()

    def _drain(self):
        with contextlib.suppress(BlockingIOError):
            self.raw += os.read(self._ours, 65536).decode(errors="replace")


@pytest.fixture
def many(cluster):
    config = {"cluster": cluster.name, "node": "x@127.0.0.1", "topologies": STATIC}
    with Supervisor(config, control=True) as supervisor:
        until(lambda: len(supervisor.nodes(state="known")) == len(NODES), "all are known")
        yield supervisor


def test_more_nodes_than_lines_are_reached_by_keys(cluster, many):
    terminal = Terminal(cluster)
    lines = terminal.shows("127.0.0.1:4000 ")
    assert lines[0] == "1 supervisor, 1 topology, 0 of 40 nodes linked"
    assert re.fullmatch(r"-- 1 to 9 of \d+ lines: arrows, PgUp, PgDn; q ends --", lines[-1])
    terminal.type("\x1b[6~")
    assert not any("127.0.0.1:4000 " in line for line in terminal.shows("127.0.0.1:4010 "))
    terminal.type("G")
    lines = terminal.shows("127.0.0.1:4039 ")
    assert lines[0].startswith("1 supervisor")
    terminal.type("\x1b[H")
    terminal.shows("127.0.0.1:4000 ")
    terminal.resize(60, 100)
    terminal.watch.signal(signal.SIGWINCH)
    assert "lines: arrows" not in terminal.shows("127.0.0.1:4039 ")[-1]
    terminal.type("q")
    assert terminal.close() == 0


def test_gone_node_is_shown_with_time_and_reason(cluster):
    a = cluster.run("a")
    a.wait_for("ready")
    terminal = Terminal(cluster, "a", lines=40)
    b = cluster.run("b")
    terminal.until(lambda lines: "1 supervisor, 1 topology, 1 of 1 node linked" in lines[:1])
    b.signal_all(signal.SIGKILL)
    terminal.until(
        lambda lines: any(
            re.search(r"b@127\.0\.0\.1 .* gone \d+ s ago: closed", line) for line in lines
        )
    )
    assert "1 gone within the last minute" in terminal.screen[0]
    a.signal(signal.SIGTERM)
    a.wait()
    shown = terminal.until(
        lambda lines: any(
            re.search(r"a@127\.0\.0\.1: process \d+ ended \d+ s ago", line) for line in lines
        )
    )
    assert any("no supervisor of yours" in line for line in shown)
    terminal.watch.signal(signal.SIGINT)
    assert terminal.close() == 0


def test_stopped_node_holds_up_neither_view_nor_keys(cluster, many):
    a = cluster.run("a")
    a.wait_for("ready")
    terminal = Terminal(cluster, lines=60)
    terminal.shows("a@127.0.0.1: process")
    a.signal(signal.SIGSTOP)
    terminal.shows(
        f"a@127.0.0.1: process {a.process.pid} does not answer: it hangs, or is suspended"
    )
    assert any("x@127.0.0.1: process" in line for line in terminal.screen)
    terminal.type("q")
    assert terminal.close() == 0


def test_watch_needs_a_terminal():
    done = cluster_kit("watch")
    assert done.returncode == 1
    assert "use 'cluster-kit status'" in done.stderr


def test_watch_shows_new_supervisors_until_ctrl_c(cluster):
    ours, its = pty.openpty()
    watch = cluster.keep(Process(COMMAND, "watch", "--interval", "0.1", stdout=its))
    os.close(its)
    seen = Screen(ours)
    seen.until("no supervisor of yours runs")
    cluster.run("a").wait_for("ready")
    seen.until("a@127.0.0.1: process")
    watch.signal(signal.SIGINT)
    seen.close()
    assert watch.wait() == 0


class Screen:
    """What ``watch`` prints to a terminal from which it reads no keys."""

    def __init__(self, fd):
        self._fd = fd
        self._text = ""

    def until(self, text, timeout_s=30.0):
        deadline_s = time.monotonic() + timeout_s
        while text not in self._text:
            assert time.monotonic() < deadline_s, f"not seen: {text!r} in {self._text[-500:]!r}"
            self._text += os.read(self._fd, 65536).decode(errors="replace")

    def close(self):
        """Read to the end, so that the printing process is not held up."""
        try:
            while os.read(self._fd, 65536):
                pass
        except OSError:
            os.close(self._fd)
