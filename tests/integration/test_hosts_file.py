"""``hosts_file`` with a real file that is changed in all the ways in which files are changed."""

import asyncio
import itertools
import os
import threading

import pytest

from cluster_kit.abc import Failed, Found
from cluster_kit.diagnosis import Outcome
from cluster_kit.node import Node
from cluster_kit.strategies.hosts_file import HostsFileStrategy
from cluster_kit.strategies.hosts_file.diagnosis import diagnose
from cluster_kit.strategies.hosts_file.reader import FileReader
from cluster_kit.strategies.hosts_file.session import HostsFileSession
from cluster_kit.testing import FakeDiscovery, Listener

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")
DEADLINE_S = 20.0


def line_of(node):
    return f"{node.name.partition('@')[0]}@{node.address}\n"


def node(name, port):
    return Node(name=f"{name}@127.0.0.1", address=f"127.0.0.1:{port}")


BOB, CAT, DAN = node("bob", 45002), node("cat", 45003), node("dan", 45004)


def content(*nodes):
    return "# the shop\n" + "".join(map(line_of, nodes))


class Watched:
    """A file, and what a run of the strategy observes of it."""

    def __init__(self, heard, path):
        self.heard = heard
        self.path = path
        self.since = 0

    async def tells(self, *nodes):
        """Wait for the next answer, which must be these nodes, with no failure before it."""
        answer = await self.heard.until(lambda _: True, f"exactly {nodes}", since=self.since)
        self.since = len(self.heard.observations)
        assert answer == Found(nodes)

    async def recovers(self, *nodes):
        """As ``tells``, after failures."""
        answer = await self.heard.until(
            lambda told: isinstance(told, Found), f"exactly {nodes}", since=self.since
        )
        self.since = len(self.heard.observations)
        assert answer == Found(nodes)


class Impatient(HostsFileStrategy):
    """Waits for a file system for a moment only."""

    def discover(self, ctx):
        return HostsFileSession(self.path, self.interval_s, ctx, read_s=0.05).observe()

    def diagnose(self, ctx):
        return diagnose(self.path, ctx.local, read_s=0.05)


def watching(path, scenario, found=(), interval_s=0.05, kind=HostsFileStrategy):
    async def bounded():
        strategy = kind(path=path, interval_s=interval_s)
        async with asyncio.timeout(3 * DEADLINE_S):
            async with Listener(
                strategy, FakeDiscovery(ANN, found=frozenset(found)), deadline_s=DEADLINE_S
            ) as heard:
                await scenario(Watched(heard, path))
            if heard.error:
                raise heard.error

    asyncio.run(bounded())


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "hosts"
    path.write_text(content(BOB, CAT))
    return path


# -- the ways to edit a file -----------------------------------------------------------------------


def rewrite(path, text):
    """As ``>`` does, and editors that write in place: truncate, then write."""
    with path.open("w") as file:
        file.flush()
        file.write(text)


def rename_over(path, text):
    """As most editors do, ansible, rsync and every careful program."""
    copy = path.with_name(".hosts.swp")
    copy.write_text(text)
    copy.replace(path)


def remove_and_write(path, text):
    path.unlink()
    path.write_text(text)


def keep_a_backup(path, text):
    """As vim and emacs do where they keep one: the file is moved away, and written anew."""
    path.replace(path.with_name("hosts~"))
    path.write_text(text)


@pytest.mark.parametrize("edit", [rewrite, rename_over, remove_and_write, keep_a_backup])
def test_every_way_of_editing_is_seen(path, edit):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        edit(path, content(BOB, CAT, DAN))
        await watched.recovers(BOB, CAT, DAN)
        edit(path, content(CAT, DAN))
        await watched.recovers(CAT, DAN)
        edit(path, content(BOB, CAT))
        await watched.recovers(BOB, CAT)

    watching(path, scenario)


def test_appended_line_is_seen(path):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        with path.open("a") as file:
            file.write(line_of(DAN))
        await watched.tells(BOB, CAT, DAN)

    watching(path, scenario)


def test_edit_of_the_same_size_is_seen(path):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        for one, other in ((BOB, DAN), (DAN, BOB)) * 3:
            text = path.read_text()
            with path.open("r+") as file:
                file.write(text.replace(line_of(one), line_of(other)))
            assert path.stat().st_size == len(text)
            await watched.tells(other, CAT)

    watching(path, scenario)


def test_symlinks_that_are_swapped_as_kubernetes_does_for_a_configmap(tmp_path):
    def publish(version, text):
        (tmp_path / version).mkdir()
        (tmp_path / version / "hosts").write_text(text)
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    async def scenario(watched):
        await watched.tells(BOB, CAT)
        publish("..v2", content(BOB, DAN))
        await watched.tells(BOB, DAN)
        (tmp_path / "..v1" / "hosts").unlink()
        publish("..v3", content(DAN))
        await watched.tells(DAN)

    publish("..v1", content(BOB, CAT))
    (tmp_path / "hosts").symlink_to("..data/hosts")
    watching(tmp_path / "hosts", scenario)


def test_file_with_the_same_nodes_is_not_reported_again(path):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        rename_over(path, content(CAT, BOB) + "# nothing new\n")
        rename_over(path, content(BOB, CAT, DAN))
        await watched.tells(BOB, CAT, DAN)

    watching(path, scenario)


def test_a_new_address_of_a_node_is_reported(path):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        moved = node("cat", 45009)
        rename_over(path, content(BOB, moved))
        await watched.tells(BOB, moved)

    watching(path, scenario)


# -- explicitly nobody, and what is no answer ------------------------------------------------------


def test_file_of_comments_alone_has_no_nodes(path):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        rename_over(path, "# nobody for now\n")
        await watched.tells()
        rename_over(path, content(BOB))
        await watched.tells(BOB)

    watching(path, scenario)


@pytest.mark.parametrize(
    ("text", "line", "cause"),
    [
        ("", 1, "is empty: it may be half written"),
        ("\n\n", 1, "is empty"),
        (content(BOB)[:-3], 2, "the last line has no newline"),
        (content(BOB) + "web\n", 3, "cannot use 'web'"),
        (content(BOB) + "caf\udce9@h:1\n", 3, "is not UTF-8"),
    ],
)
def test_faulty_file_is_a_failed_look_up_until_it_is_mended(path, text, line, cause):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        path.write_bytes(text.encode(errors="surrogateescape"))
        failed = await watched.heard.until(
            lambda told: isinstance(told, Failed) and cause in str(told.error), cause
        )
        assert str(failed.error).startswith(f"hosts_file: {path}:{line}: ")
        assert not [told for told in watched.heard.observations[1:] if isinstance(told, Found)]
        watched.since = len(watched.heard.observations)
        path.write_text(content(BOB, CAT))
        await watched.recovers(BOB, CAT)

    watching(path, scenario)


def vanish(path):
    path.unlink()


def become_a_folder(path):
    path.unlink()
    path.mkdir()


def become_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def become_huge(path):
    with path.open("r+b") as file:
        file.truncate(2**40)  # it takes no room on the disk


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (vanish, "cannot be read: no such file or directory; write the file, or correct path"),
        (become_a_folder, "is a directory: expected a file"),
        (become_a_pipe, "is a pipe: expected a file"),
        (become_huge, "has more than"),
    ],
)
def test_file_that_cannot_be_read_is_a_failed_look_up_until_it_is_back(path, spoil, cause):
    async def scenario(watched):
        await watched.tells(BOB, CAT)
        spoil(path)
        failed = await watched.heard.until(
            lambda told: isinstance(told, Failed) and cause in str(told.error), cause
        )
        assert str(failed.error).startswith(f"hosts_file: {path}: ")
        watched.since = len(watched.heard.observations)
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        rename_over(path, content(BOB, DAN))
        await watched.recovers(BOB, DAN)

    watching(path, scenario)


def test_file_may_be_missing_at_first(tmp_path):
    async def scenario(watched):
        await watched.heard.until(lambda told: isinstance(told, Failed), "that it is missing")
        (tmp_path / "hosts").write_text(content(BOB))
        await watched.recovers(BOB)

    watching(tmp_path / "hosts", scenario)


# -- half written, and whole to look at ------------------------------------------------------------


def removals(observations):
    """Return the answers that lacked somebody of the one before."""
    answers = [told.nodes for told in observations if isinstance(told, Found)]
    return [after for before, after in itertools.pairwise(answers) if not before <= after]


def test_file_written_line_by_line_removes_no_node(path, monkeypatch):
    """Each line leaves a file that looks whole; the strategy looks after each of them."""
    text = content(*[node(f"n{number}", 46000 + number) for number in range(20)])

    async def scenario(watched):
        await watched.heard.until(
            lambda told: isinstance(told, Found) and len(told.nodes) == 20, "all of them"
        )
        with path.open("w", buffering=1) as file:
            for line in text.splitlines(keepends=True):
                file.write(line)
                await looked()
        rename_over(path, text + line_of(DAN))
        await watched.heard.until(lambda told: isinstance(told, Found) and DAN in told.nodes, "dan")
        assert removals(watched.heard.observations) == []

    async def looked():
        seen = len(looks)
        while len(looks) == seen:  # noqa: ASYNC110 - a thread makes them
            await asyncio.sleep(0.001)

    looks = []
    read = FileReader.read

    def counted(self):
        content = read(self)
        looks.append(content)
        return content

    path.write_text(text)
    monkeypatch.setattr(FileReader, "read", counted)
    watching(path, scenario)


def test_file_that_never_holds_still_is_a_failed_look_up(path, monkeypatch):
    changes = iter(range(10**6))
    read = FileReader.read

    def rewritten(self):
        path.write_text(content(DAN) + f"# {next(changes)}\n")
        return read(self)

    async def scenario(watched):
        await watched.tells(BOB, CAT)
        monkeypatch.setattr(FileReader, "read", rewritten)
        await watched.heard.until(
            lambda told: isinstance(told, Failed), "that it changes all the time"
        )
        assert "changes all the time; write a copy of it" in str(
            watched.heard.observations[-1].error
        )
        monkeypatch.setattr(FileReader, "read", read)
        watched.since = len(watched.heard.observations)
        await watched.recovers(DAN)

    watching(path, scenario)


def test_rerun_after_an_error_removes_no_node_while_the_file_is_written(path, monkeypatch):
    path.write_text(content(BOB))
    read = FileReader.read

    def then_finished(self):
        first = read(self)
        monkeypatch.setattr(FileReader, "read", read)
        path.write_text(content(BOB, CAT, DAN))
        return first

    async def scenario(watched):
        await watched.tells(BOB, CAT, DAN)

    monkeypatch.setattr(FileReader, "read", then_finished)
    watching(path, scenario, found=[BOB, CAT, DAN])


# -- a file system that hangs ----------------------------------------------------------------------


def test_hanging_file_system_blocks_one_thread_only(path, monkeypatch):
    back, hanging = threading.Event(), []
    read = FileReader.read

    def hang(self):
        hanging.append(threading.get_ident())
        assert back.wait(DEADLINE_S)
        return read(self)

    async def scenario(watched):
        await watched.tells(BOB, CAT)
        monkeypatch.setattr(FileReader, "read", hang)
        await watched.heard.until(
            lambda _: len(watched.heard.observations) > 4, "that it hangs, several times"
        )
        assert "no answer within 0.05 s; its file system hangs" in str(
            watched.heard.observations[-1].error
        )
        assert len(hanging) == 1
        watched.since = len(watched.heard.observations)
        path.write_text(content(BOB, CAT, DAN))
        back.set()
        await watched.recovers(BOB, CAT, DAN)

    watching(path, scenario, kind=Impatient)


# -- diagnosis -------------------------------------------------------------------------------------


def diagnosed(path, local=ANN):
    async def collect():
        return [
            finding async for finding in HostsFileStrategy(path=path).diagnose(FakeDiscovery(local))
        ]

    return asyncio.run(collect())


def test_diagnosis_counts_the_nodes_in_the_file(path):
    file, others = diagnosed(path)
    assert (file.asked, file.outcome) == (str(path), Outcome.OK)
    assert (others.outcome, others.got) == (Outcome.OK, "2 in all, 2 of them not this one")


def test_diagnosis_reports_every_line_that_cannot_be_used(path):
    path.write_text("web\n" + content(BOB) + "cat@127.0.0.1:0\n")
    first, second = diagnosed(path)
    assert (first.asked, second.asked) == (f"{path}:1", f"{path}:4")
    assert first.outcome is second.outcome is Outcome.FAILED
    assert "cannot use 'web'" in first.got
    assert first.cause.startswith("correct the line")


@pytest.mark.parametrize("text", [content(ANN), "# nobody\n"])
def test_diagnosis_of_a_file_with_this_node_alone(path, text):
    path.write_text(text)
    _, finding = diagnosed(path)
    assert finding.outcome is Outcome.EMPTY
    assert "contains only this node" in finding.cause


@pytest.mark.parametrize(
    ("spoil", "got", "cure"),
    [
        (vanish, "cannot be read: no such file", "write the file, or correct path"),
        (become_a_folder, "is a directory: expected a file", "correct path"),
        (become_a_pipe, "is a pipe: expected a file", "correct path"),
        (become_huge, "has more than 1048576 bytes", "split the cluster into several topologies"),
    ],
)
def test_diagnosis_of_a_file_that_cannot_be_read(path, spoil, got, cure):
    spoil(path)
    [finding] = diagnosed(path)
    assert (finding.asked, finding.outcome) == (str(path), Outcome.FAILED)
    assert finding.got.startswith(got)
    assert cure in finding.cause


def test_diagnosis_of_a_file_system_that_hangs(path, monkeypatch):
    back = threading.Event()
    monkeypatch.setattr(FileReader, "read", lambda self: back.wait(DEADLINE_S))

    async def collect():
        findings = [finding async for finding in Impatient(path=path).diagnose(FakeDiscovery(ANN))]
        back.set()
        return findings

    [finding] = asyncio.run(collect())
    assert finding.outcome is Outcome.FAILED
    assert "hangs" in finding.cause
