"""Secrets in real supervisors: which keys each worker has, and how it gets others while it runs."""

import logging
import secrets
import threading

import pytest
from key_telling import KeyTelling
from waiting import until

from cluster_kit import ClusterKitError, ConfigError, Supervisor
from cluster_kit.config.secret_file import read_secret_file
from cluster_kit.security.keys import derive
from cluster_kit.supervisor import file_watch, keychain

TAKEN_IN_S = 10.0


def ids(*given):
    return [derive(secret, "keys").id.hex() for secret in given]


@pytest.fixture
def start():
    """Return a function that starts a supervisor of topologies that tell their keys."""
    running = []

    def config(*names, **keys):
        topologies = {
            name: {"strategy": "static", "config": {"nodes": []}, "connector": KeyTelling}
            for name in names or ("lan",)
        }
        return {"cluster": "keys", "node": "a@127.0.0.1", "topologies": topologies, **keys}

    def start(*names, **keys):
        running.append(Supervisor(config(*names, **keys)))
        return running[-1].start()

    start.config = config
    yield start
    for supervisor in running:
        supervisor.stop()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    write(path, "old")
    return path


def write(path, content):
    """Replace a file by another, as most programs do."""
    new = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    new.write_text(content)
    new.chmod(0o600)
    new.rename(path)


def keys(supervisor, name="lan"):
    return supervisor.call(name, "keys")


def pids(supervisor):
    return [status.pid for status in supervisor.status().values()]


def until_keys(supervisor, *given, name="lan"):
    expected = ids(*given)
    until(lambda: keys(supervisor, name) == expected, f"keys of {given}", TAKEN_IN_S)


def test_workers_have_keys_of_all_secrets(start):
    a = start("lan", "wan", secret="now", previous_secrets=["then", "before"])
    assert keys(a, "lan") == keys(a, "wan") == ids("now", "then", "before")


def test_without_a_secret_there_are_none(start):
    assert keys(start()) is None


def test_successor_of_a_worker_has_them(start):
    a = start(secret="now")
    [pid] = pids(a)
    a.call("lan", "crash")
    until(lambda: pids(a) not in ([pid], [None]), "another worker")
    assert until(lambda: _answer(a), "it answers") == ids("now")


def _answer(supervisor):
    try:
        return keys(supervisor)
    except ClusterKitError:
        return None


def test_added_topology_has_them(start):
    a = start(secret="now", previous_secrets=["then"])
    a.add_topology("wan", start.config("wan")["topologies"]["wan"])
    assert keys(a, "wan") == ids("now", "then")


def test_reload_goes_through_a_rotation_without_another_worker(start):
    a = start("lan", "wan", secret="old")
    before = pids(a)
    for step in (
        {"secret": "old", "previous_secrets": ["new"]},
        {"secret": "new", "previous_secrets": ["old"]},
        {"secret": "new"},
    ):
        changes = a.reload(start.config("lan", "wan", **step))
        assert str(changes) == "changed the secrets"
        expected = [step["secret"], *step.get("previous_secrets", [])]
        for name in ("lan", "wan"):
            until_keys(a, *expected, name=name)
    assert pids(a) == before


def test_protection_begins_with_other_workers(start):
    a = start()
    [bare] = pids(a)
    assert str(a.reload(start.config(secret="now"))) == "replaced lan; changed the secrets"
    assert keys(a) == ids("now")
    assert pids(a) != [bare]
    assert a.reload(start.config()).replaced == ("lan",)
    assert keys(a) is None


def test_file_that_is_replaced_is_applied(start, file, caplog):
    caplog.set_level(logging.INFO, "cluster_kit")
    a = start("lan", "wan", secret_file=str(file), previous_secrets=["older"])
    before = pids(a)
    for content, expected in {
        "old\nnew\n": ["old", "new"],
        "new\nold\n": ["new", "old"],
        "new\n": ["new"],
    }.items():
        write(file, content)
        until_keys(a, *expected, "older", name="wan")
        until_keys(a, *expected, "older")
    assert pids(a) == before
    until(lambda: f"secret_file: '{file}' changed the secrets" in caplog.text, "a word on it")


def test_file_that_is_written_in_place_is_applied_when_it_is_whole(
    start, file, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "cluster_kit")
    looks = []
    monkeypatch.setattr(
        file_watch, "read_secret_file", lambda path: looks.append(path) or read_secret_file(path)
    )
    a = start(secret_file=str(file))
    with file.open("w") as stream:  # which empties it
        stream.write("ne")
        stream.flush()
        number = len(looks)
        until(lambda: len(looks) > number, "a look at the first half")
        stream.write("w\n")
    until_keys(a, "new")
    until(lambda: "changed the secrets" in caplog.text, "a word on it")
    assert caplog.text.count("changed the secrets") == 1
    assert "cannot use" not in caplog.text


def test_link_that_leads_elsewhere_is_applied(start, tmp_path):
    for name, content in (("..1", "old"), ("..2", "new")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "secret", content)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "secret").symlink_to("..data/secret")
    a = start(secret_file=str(tmp_path / "secret"))
    assert keys(a) == ids("old")
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    until_keys(a, "new")


def test_file_that_cannot_be_used_leaves_all_as_it_was_and_is_reported_once(start, file, caplog):
    a = start(secret_file=str(file))
    file.chmod(0o666)
    until(lambda: "everybody can write it" in caplog.text, "the fault", TAKEN_IN_S)
    write(file, "")
    until(lambda: "it is empty" in caplog.text, "the next fault", TAKEN_IN_S)
    file.unlink()
    until(lambda: "there is no such file" in caplog.text, "the last fault", TAKEN_IN_S)
    assert keys(a) == ids("old")
    write(file, "new")
    until_keys(a, "new")
    told = [
        record.getMessage()
        for record in caplog.records
        if "the secrets stay as they are" in record.getMessage()
    ]
    assert len(told) == 3


def test_another_file_is_watched_after_a_reload(start, file, tmp_path):
    a = start(secret="old")
    other = tmp_path / "other"
    write(other, "old")
    assert not a.reload(start.config(secret_file=str(other)))
    write(other, "new")
    until_keys(a, "new")


def test_weak_secret_is_warned_about_and_not_shown(start, caplog):
    start(secret="hunter2", previous_secrets=[secrets.token_hex(32)])
    until(lambda: "the secret has at most" in caplog.text, "the warning")
    assert "hunter2" not in caplog.text
    assert "previous" not in caplog.text


def test_keys_that_cannot_be_made_fail_the_start(start, monkeypatch):
    def derive(*_):
        raise MemoryError

    monkeypatch.setattr(keychain, "derive", derive)
    with pytest.raises(
        ClusterKitError,
        match="secret: its keys cannot be made by scrypt: MemoryError: it takes 32 MiB",
    ):
        start(secret="hunter2")


def test_keys_that_cannot_be_made_change_nothing(start, monkeypatch):
    a = start(secret="old")

    def derive(*_):
        raise MemoryError

    monkeypatch.setattr(keychain, "derive", derive)
    with pytest.raises(ClusterKitError, match="cannot be made"):
        a.reload(start.config(secret="new"))
    assert keys(a) == ids("old")
    assert not a.reload(start.config(secret="old"))


def test_faulty_file_changes_nothing(start, file):
    a = start(secret="old")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="everybody can write it"):
        a.reload(start.config(secret_file=str(file)))
    assert keys(a) == ids("old")


def test_nothing_is_left_of_a_watch(start, file):
    a = start(secret_file=str(file))
    assert "cluster-kit-files" in {thread.name for thread in threading.enumerate()}
    a.stop()
    assert "cluster-kit-files" not in {thread.name for thread in threading.enumerate()}


def test_start_that_was_ordered_to_stop_watches_nothing(start, file):
    a = Supervisor(start.config(secret_file=str(file)))
    a.stop()
    with a:
        assert "cluster-kit-files" not in {thread.name for thread in threading.enumerate()}
