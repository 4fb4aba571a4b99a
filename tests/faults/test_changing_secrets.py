"""Secret files change in every possible way while real nodes rotate: no link is lost."""

import secrets
from collections import Counter

import pytest
from waiting import until
from watched import FORMATION_S, Watched

from cluster_kit.config.secret_file import read_secret_file
from cluster_kit.security.keys import derive

pytestmark = pytest.mark.once

TAKEN_IN_S = 30.0  # ten on a machine that isn't busy


@pytest.fixture
def watched(caplog):
    with Watched(caplog) as watched:
        yield watched


def new_file(path, content):
    path.touch(0o600)
    path.write_bytes(content)
    return path


class Renamed:
    """A file that another one takes the place of."""

    looks = 0

    def __init__(self, folder, content):
        self.path = new_file(folder / "secret", content)

    def put(self, content):
        new_file(self.path.with_suffix(".new"), content).rename(self.path)


class InPlace(Renamed):
    """A file that is emptied and written."""

    def put(self, content):
        self.path.write_bytes(content)


class InTwoWrites(Renamed):
    """A file that is empty, then half, until the node looks at it."""

    def put(self, content):
        with self.path.open("wb", buffering=0) as file:
            self._is_seen()
            file.write(content[: len(content) // 2])
            self._is_seen()
            file.write(content[len(content) // 2 :])

    def _is_seen(self):
        seen = self.looks
        until(lambda: self.looks > seen, "a look at a part of it")


class Mounted:
    """A file of a Secret as Kubernetes mounts it: behind a link to a folder, which is replaced."""

    looks = 0

    def __init__(self, folder, content):
        self._folder = folder
        self._count = 0
        self.put(content)
        self.path = folder / "secret"
        self.path.symlink_to("..data/secret")

    def put(self, content):
        self._count += 1
        version = self._folder / f"..{self._count}"
        version.mkdir()
        new_file(version / "secret", content)
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self._folder / "..data")


WAYS = {
    Renamed: b"\n",
    InPlace: b"\r\n",
    InTwoWrites: b"\n\n",
    Mounted: b"",
}  # each with what ends its last line


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Return a function that makes a file of each kind that holds these."""
    made = []

    def look(path):
        try:
            return read_secret_file(path)
        finally:
            for file in made:
                file.looks += file.path == path

    monkeypatch.setattr("cluster_kit.supervisor.file_watch.read_secret_file", look)

    def make(*held):
        for way in WAYS:
            folder = tmp_path / way.__name__
            folder.mkdir()
            made.append(way(folder, content(way, held)))
        return made

    return make


def content(way, held):
    newline = b"\r\n" if way is InPlace else b"\n"
    return newline.join(secret.encode(errors="surrogateescape") for secret in held) + WAYS[way]


def start(watched, files):
    for number, file in enumerate(files, 1):
        watched.start(number, secret=None, secret_file=str(file.path))
    for node in watched.nodes.values():
        node.wait_for(len(files), timeout_s=FORMATION_S)


def hold(watched, *held):
    """Wait until each node has announced these to each other one."""
    ids = tuple(derive(secret, watched.cluster).id.hex() for secret in held)
    others = len(watched.nodes) - 1

    def all_do():
        links = [node.status()["lan"].links for node in watched.nodes.values()]
        return all(
            len(each) == others and {link.secrets for link in each} == {ids} for each in links
        )

    until(all_do, f"all hold {ids}", TAKEN_IN_S)


def test_rotation_loses_no_link_however_the_files_are_changed(watched, files, caplog):
    old, new = f"Žluťoučký kůň {secrets.token_hex(16)} ÿ", secrets.token_hex(32)
    written = files(old)
    start(watched, written)
    hold(watched, old)
    watched.began()
    for held in ((old, new), (new, old), (new,)):
        for file in written:
            file.put(content(type(file), held))
        hold(watched, *held)
    watched.unharmed()
    told = Counter(
        record.node for record in caplog.records if "changed the secrets" in record.getMessage()
    )
    assert told == dict.fromkeys(watched.nodes, 3), "half of a file was taken in"
    watched.start(9, secret=new).wait_for(len(written) + 1, timeout_s=FORMATION_S)
    watched.unharmed(9)


ODD = bytes(range(0x80, 0x100)).decode(errors="surrogateescape")


def test_secret_of_odd_bytes_is_the_same_however_its_line_ends(watched, files):
    start(watched, files(ODD))
    hold(watched, ODD)


def test_secret_of_odd_bytes_is_changed_by_keys(watched, tmp_path):
    """It is alone in its file, since a newline may be one of its bytes."""
    file = new_file(tmp_path / "secret", ODD.encode(errors="surrogateescape"))
    new = secrets.token_hex(32)
    for number in (1, 2):
        watched.start(number, secret=None, secret_file=str(file)).wait_for(
            number, timeout_s=FORMATION_S
        )
    watched.began()
    for keys in (
        {"secret": None, "secret_file": str(file), "previous_secrets": [new]},
        {"secret": new, "previous_secrets": [ODD]},
        {"secret": new},
    ):
        for number, node in enumerate(watched.nodes.values(), 1):
            assert str(node.reload(watched.config(number, **keys))) == "changed the secrets"
        hold(watched, keys["secret"] or ODD, *keys.get("previous_secrets", []))
    watched.unharmed()
