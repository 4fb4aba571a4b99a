"""Debian's avahi-daemon with its own D-Bus, on one interface of this host or of a namespace.

It needs root, for a mount namespace: mark tests with ``netns``.
"""

import os
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path

from cli_process import Process

PROGRAMS = ("dbus-daemon", "avahi-daemon", "avahi-browse", "avahi-publish")
DEADLINE_S = 20.0

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={folder}/bus</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
"""
CONFIGURATION = """[server]
host-name={host}
allow-interfaces={interface}
use-ipv4=yes
use-ipv6=no
[publish]
publish-workstation=no
publish-hinfo=no
"""
IN_ITS_OWN_RUN = (
    "mount -t tmpfs none /run && exec avahi-daemon -f {folder}/avahi.conf --no-drop-root "
    "--no-chroot --no-rlimits"
)


class Avahi:
    """A running daemon."""

    def __init__(self, folder, place):
        self.host = f"avahi{secrets.token_hex(4)}"
        self._environment = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
        self._place = place
        self._started = []

    def start(self, *command):
        command = self._place.command(command) if self._place else command
        self._started.append(Process(*command, env=self._environment))
        return self._started[-1]

    def run(self, *command):
        """Run a program to its end, and return what it printed."""
        command = self._place.command(command) if self._place else command
        return subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=DEADLINE_S
        ).stdout

    def publish(self, name, service_type, port, *strings):
        """Publish a service until the daemon ends or the returned process is killed."""
        publishing = self.start(
            "avahi-publish", "-s", name, service_type.removesuffix(".local."), str(port), *strings
        )
        publishing.until(
            lambda: any("Established" in line for line in publishing.lines + publishing.errors),
            "its name",
        )
        return publishing

    def resolved(self, service_type):
        """Return the fields of each service of a type: host, address, port and strings last."""
        printed = self.run("avahi-browse", "-p", "-r", "-t", service_type.removesuffix(".local."))
        return [line.split(";") for line in printed.splitlines() if line.startswith("=")]

    def end(self):
        for process in reversed(self._started):
            process.end()


@contextmanager
def avahi(require, folder: Path, interface="lo", place=None):
    for program in PROGRAMS:
        require(program)
    daemon = Avahi(folder, place)
    (folder / "bus.conf").write_text(BUS.format(folder=folder))
    (folder / "avahi.conf").write_text(CONFIGURATION.format(host=daemon.host, interface=interface))
    try:
        daemon.start(
            "dbus-daemon",
            "--config-file",
            folder / "bus.conf",
            "--nofork",
            "--nopidfile",
            "--print-address",
        ).until_printed("unix:")
        running = daemon.start(
            "unshare", "--mount", "sh", "-c", IN_ITS_OWN_RUN.format(folder=folder)
        )
        running.until(
            lambda: any("Server startup complete" in line for line in running.errors),
            "avahi-daemon to be ready",
        )
        yield daemon
    finally:
        daemon.end()
