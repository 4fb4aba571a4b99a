"""Debian's ``named`` on a free port of loopback, with one zone that tests rewrite while it runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from dns_hostile import both_on_one_port

DEADLINE_S = 20.0
ADDRESS = "127.0.0.1"
ZONE = "shop.test"

_CONF = """
options {{
  directory "{folder}";
  listen-on port {port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  managed-keys-directory "{folder}";
  recursion no;
  dnssec-validation no;
  minimal-responses no;
  notify no;
}};
controls {{ }};
zone "{zone}" {{ type primary; file "zone"; }};
"""


def free_port():
    """Return a port that is free for datagrams and connections."""
    datagrams, listener = both_on_one_port(ADDRESS)
    with datagrams, listener:
        return listener.getsockname()[1]


class Named:
    """``with Named(folder) as named``: serves ``shop.test``; records are lines of a zone file."""

    def __init__(self, folder, *records):
        self.folder = folder
        self.port = free_port()
        self._serial = 0
        self._process = None
        folder.mkdir(exist_ok=True)
        (folder / "named.conf").write_text(_CONF.format(folder=folder, port=self.port, zone=ZONE))
        self._write(records)

    @property
    def resolver(self):
        """How the option ``resolver`` names it."""
        return f"{ADDRESS}:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        command = [
            shutil.which("named") or "/usr/sbin/named",
            "-g",
            "-n",
            "1",
            "-c",
            str(self.folder / "named.conf"),
        ]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_for_serial()

    def kill(self):
        """End it without a goodbye; ``start`` starts it again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def rewrite(self, *records):
        """Serve these records from now on."""
        self._write(records)
        self._process.send_signal(signal.SIGHUP)
        self._wait_for_serial()

    def _write(self, records):
        self._serial += 1
        head = [
            f"$ORIGIN {ZONE}.",
            "$TTL 1",
            f"@ SOA ns hostmaster {self._serial} 60 60 60 1",
            "@ NS ns",
            "ns A 127.0.0.1",
        ]
        zone = self.folder / "zone"
        zone.write_text("\n".join([*head, *records, ""]))
        # it reloads what is newer, by the second
        os.utime(zone, (time.time(), 1_700_000_000 + self._serial))

    def _wait_for_serial(self):
        import dns.exception
        import dns.message
        import dns.query

        question = dns.message.make_query(ZONE, "SOA")
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(dns.exception.DNSException, OSError):
                answer = dns.query.udp(question, ADDRESS, port=self.port, timeout=0.2).answer
                if answer and answer[0][0].serial == self._serial:
                    return
            time.sleep(0.02)
        raise RuntimeError(
            f"named does not serve {ZONE}:\n{(self.folder / 'log').read_text()[-3000:]}"
        )
