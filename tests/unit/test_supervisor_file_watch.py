"""When the watch of files reads them again, and when it warns of a certificate that has
not been replaced.
"""

import logging
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster_kit.config import ClusterConfig
from cluster_kit.config.certificate_files import CertificateFiles, CertificatePaths
from cluster_kit.security.keys import Certificates
from cluster_kit.supervisor.file_watch import ExpiryCheck, FilePoller

BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def files(days, chain=b"one"):
    return CertificateFiles(
        paths=CertificatePaths.within(Path("/certs")),
        host="127.0.0.1",
        content=Certificates(chain, b"", b""),
        names=(),
        begins=BEGINS,
        expires=BEGINS + days * DAY,
        exposed=False,
        digest=b"",
    )


class Stage:
    """Looks at a certificate at made-up times, and keeps the warnings."""

    def __init__(self, certificates):
        self.config = ClusterConfig(certificates=certificates, topologies={})
        self.warnings = []
        self._look = ExpiryCheck(lambda: self.config, self, lambda: self._now)

    def log(self, level, text):
        assert level == logging.WARNING
        self.warnings.append(text)

    def look(self, days):
        """Return what is warned of so many days after the beginning."""
        self._now = BEGINS + days * DAY
        before = len(self.warnings)
        self._look()
        return self.warnings[before:]


@pytest.fixture
def stage():
    return Stage(files(90))


def test_nothing_is_said_without_certificates_or_while_there_is_time(stage):
    assert Stage(None).look(0) == []
    assert stage.look(0) == stage.look(62) == []


def test_end_that_is_near_is_reported_once_then_once_a_day(stage):
    [warning] = stage.look(64)
    expected = (
        "in '/certs/tls.crt' expires on 2026-04-01 00:00 UTC, and has not been renewed: renew it"
    )
    assert expected in warning
    assert stage.look(64.5) == []
    assert len(stage.look(65)) == 1
    assert stage.look(65.9) == []


def test_end_is_reported_at_once(stage):
    assert len(stage.look(89.99)) == 1
    [warning] = stage.look(90.01)
    assert (
        "expired on 2026-04-01 00:00 UTC, and no other node accepts a new link with it" in warning
    )
    assert stage.look(90.5) == []
    assert len(stage.look(91.1)) == 1


def test_another_certificate_is_reported_anew(stage):
    assert stage.look(64)
    stage.config = ClusterConfig(certificates=files(91, b"two"), topologies={})
    assert stage.look(64.1)
    stage.config = ClusterConfig(certificates=files(900, b"three"), topologies={})
    assert stage.look(64.2) == []


def test_clock_that_is_set_back_silences_nothing(stage):
    assert stage.look(89)
    assert stage.look(70)
    assert stage.look(70.1) == []


# -- looks at files --------------------------------------------------------------------------------


class Held:
    """Looks at one file; counts how often it is read."""

    def __init__(self, path):
        self.path, self.reads, self.taken = path, 0, []
        self.current = path.read_bytes()
        self.look = FilePoller(
            "file",
            "it stays",
            current=lambda: self.current,
            paths=lambda _: (path,),
            read=self.read,
            use=self.take_in,
            logs=logging.getLogger(),
        )

    def read(self, _):
        self.reads += 1
        return self.path.read_bytes()

    def take_in(self, found):
        self.taken.append(found)
        self.current = found


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    held = Held(path)
    for _ in range(10):
        held.look()
    return held


def test_file_that_does_not_change_is_read_no_more(held):
    assert held.reads == 2
    assert held.taken == []


@pytest.mark.parametrize("kind", ["in place", "replaced", "times kept"])
def test_file_that_changes_is_read_again(held, kind):
    new = held.path.with_name("new")
    if kind == "in place":
        held.path.write_bytes(b"two")
        # the looks are not as far apart here as they are
        os.utime(held.path, ns=(0, time.time_ns() + 1_000_000_000))
    else:
        new.write_bytes(b"two")
    if kind == "times kept":
        shutil.copystat(held.path, new)
    if kind != "in place":
        new.replace(held.path)
    for _ in range(5):
        held.look()
    assert held.taken == [b"two"]
    assert held.reads <= 6


def test_content_from_elsewhere_is_compared_with_the_file(held):
    held.current = b"another"
    for _ in range(2):
        held.look()
    assert held.taken == [b"one"]
