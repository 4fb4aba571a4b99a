"""When a hosts file is read, and how one that can't be is reported."""

import os
import socket
from pathlib import Path

import pytest

from cluster_kit.strategies.hosts_file import reader
from cluster_kit.strategies.hosts_file.parser import FileFault
from cluster_kit.strategies.hosts_file.reader import GRANULE_S, MAX_BYTES, FileReader, place_of


class Clock:
    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hosts"
    path.write_bytes(b"a@h:1\n")
    return path


def frozen(path):
    """Return a function that edits ``path`` in place without its times telling, as within a granule
    of theirs.
    """
    before = path.stat()

    def edit(content):
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return edit


# -- reading again ---------------------------------------------------------------------------------


def test_file_older_than_the_granule_is_not_read_again(file, clock):
    reading = FileReader(file, monotonic_s=clock)
    assert reading.read() == b"a@h:1\n"
    clock.now_s += GRANULE_S + 0.1
    # an edit within the granule of the first look would not show in its times
    assert reading.read() == b"a@h:1\n"
    assert reading.read() is None
    clock.now_s += 3600
    assert reading.read() is None


def test_edit_of_the_same_size_and_time_is_seen_within_the_granule(file, clock, monkeypatch):
    # the coarsest that there can be
    monkeypatch.setattr(reader, "_stamp", lambda found: (found.st_ino, found.st_size))
    reading = FileReader(file, monotonic_s=clock)
    assert reading.read() == b"a@h:1\n"
    file.write_bytes(b"b@h:1\n")
    clock.now_s += GRANULE_S - 0.1
    assert reading.read() == b"b@h:1\n"
    file.write_bytes(b"c@h:1\n")
    clock.now_s += 0.2
    assert reading.read() == b"c@h:1\n"


def test_time_of_modification_that_is_set_back_hides_no_edit(file, clock):
    reading = FileReader(file, monotonic_s=clock)
    for _ in range(3):
        reading.read()
        clock.now_s += GRANULE_S + 0.1
    assert reading.read() is None
    frozen(file)(b"b@h:1\n")
    assert reading.read() == b"b@h:1\n"


def test_replacement_of_the_same_size_and_time_is_seen(file, clock):
    reading = FileReader(file, monotonic_s=clock)
    for _ in range(3):
        reading.read()
        clock.now_s += GRANULE_S + 0.1
    copy = file.with_name("copy")
    copy.write_bytes(b"b@h:1\n")
    os.utime(copy, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    copy.rename(file)
    assert reading.read() == b"b@h:1\n"


def test_file_back_after_a_fault_is_read_even_if_unchanged(file, clock):
    link = file.with_name("link")
    link.symlink_to(file)
    reading = FileReader(link, monotonic_s=clock)
    for _ in range(3):
        reading.read()
        clock.now_s += GRANULE_S + 0.1
    link.unlink()
    assert isinstance(reading.read(), FileFault)
    link.symlink_to(file)
    assert reading.read() == b"a@h:1\n"


# -- what can't be read ----------------------------------------------------------------------------


def fault_of(path):
    fault = FileReader(path).read()
    assert isinstance(fault, FileFault)
    assert (fault.line, fault.in_file("hosts").place) == (None, "hosts")
    return f"{fault.what}; {fault.cure}"


def test_missing_file(tmp_path):
    assert (
        fault_of(tmp_path / "hosts")
        == "cannot be read: no such file or directory; write the file, or correct path"
    )


def test_missing_folder_and_a_file_for_one(file):
    assert "no such file" in fault_of(file.parent / "none" / "hosts")
    assert "not a directory" in fault_of(file / "hosts")


def test_directory(tmp_path):
    assert fault_of(tmp_path) == "is a directory: expected a file; correct path"


def test_pipe_is_a_fault_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "hosts")
    assert fault_of(tmp_path / "hosts") == "is a pipe: expected a file; correct path"


def test_file_that_turns_into_a_pipe_while_it_is_opened(tmp_path, file, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: opened(tmp_path / "pipe", flags))
    assert fault_of(file) == "is a pipe: expected a file; correct path"


def test_socket_and_device(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "hosts"))
        assert "is a socket" in fault_of(tmp_path / "hosts")
    assert "is a device" in fault_of(Path("/dev/zero"))


def test_symlinks_that_lead_in_a_circle(tmp_path):
    (tmp_path / "hosts").symlink_to("hosts")
    assert "too many levels of symbolic links" in fault_of(tmp_path / "hosts")


def test_name_that_is_too_long(tmp_path):
    assert "file name too long; correct path" in fault_of(tmp_path / ("x" * 300))


def test_no_permission(file, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    assert fault_of(file).startswith(
        "cannot be read: permission denied; let the user of this process read it"
    )


def test_size_is_bounded(file):
    file.write_bytes(b"#" * (MAX_BYTES - 1) + b"\n")
    assert len(FileReader(file).read()) == MAX_BYTES
    with file.open("ab") as more:
        more.write(b"\n")
    assert f"has more than {MAX_BYTES} bytes" in fault_of(file)


def test_no_descriptor_is_left(file, tmp_path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in (file, tmp_path, tmp_path / "none"):
        FileReader(path).read()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# -- what it is called -----------------------------------------------------------------------------


def test_place_is_absolute_and_printable(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert place_of(Path("hosts")) == str(tmp_path / "hosts")
    assert place_of(Path("/a\nb")) == "'/a\\nb'"


def test_place_in_a_folder_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert place_of(Path("hosts")) == "hosts"
