"""Certificate files in real supervisors: what each worker has, and that changes lose no link."""

import logging
from datetime import timedelta

import pytest
from certificate_files import Mounted, write, write_folder
from key_telling import KeyTelling
from made_up_certificates import Authority
from waiting import next_of, until

from cluster_kit import ConfigError, NodeDown, NodeUp, Supervisor
from cluster_kit.config.certificate_files import read_certificate_files
from cluster_kit.supervisor import file_watch

TAKEN_IN_S = 10.0
ONE, TWO = Authority("one"), Authority("two")
BOTH = (ONE, TWO)


@pytest.fixture
def start():
    """Return a function that starts a supervisor of a topology that reports its keys."""
    running = []

    def config(**keys):
        topologies = {
            "lan": {"strategy": "static", "config": {"nodes": []}, "connector": KeyTelling}
        }
        return {"cluster": "certificates", "node": "a@127.0.0.1", "topologies": topologies, **keys}

    def start(**keys):
        running.append(Supervisor(config(**keys)))
        return running[-1].start()

    start.config = config
    yield start
    for supervisor in running:
        supervisor.stop()


@pytest.fixture
def join(start):
    """Return a function that starts a node on a loopback address, linked to ``peers`` by tcp."""

    def join(name, certs, *peers, **keys):
        nodes = [peer.status()["lan"].address for peer in peers]
        return start(
            node=name,
            certs=str(certs),
            topologies={"lan": {"strategy": "static", "config": {"nodes": nodes}}},
            **keys,
        )

    return join


@pytest.fixture
def until_logged(caplog):
    """Return a function that waits until something was logged."""
    caplog.set_level(logging.INFO, "cluster_kit")

    def until_logged(text, timeout_s=TAKEN_IN_S):
        until(lambda: text in caplog.text, text, timeout_s)

    until_logged.times = lambda text: caplog.text.count(text)
    return until_logged


def chain(supervisor):
    return supervisor.call("lan", "chain").encode()


def pid(supervisor):
    return supervisor.status()["lan"].pid


def new(*names, authority=ONE, **options):
    return authority.certificates(*(names or ("127.0.0.1",)), **options)


class TestWhatAWorkerHas:
    def test_certificates_alone(self, start, tmp_path):
        certificates = new()
        a = start(certs=str(write_folder(tmp_path / "certs", certificates)))
        assert chain(a) == certificates.chain
        assert a.call("lan", "keys") == []

    def test_certificates_beside_a_secret(self, start, tmp_path):
        a = start(certs=str(write_folder(tmp_path / "certs", new())), secret="s")
        assert chain(a)
        assert len(a.call("lan", "keys")) == 1

    def test_added_topology_and_successor_have_what_is_in_use(self, start, tmp_path, until_logged):
        folder = write_folder(tmp_path / "certs", new())
        a = start(certs=str(folder))
        renewed = new()
        write_folder(folder, renewed)
        until_logged("changed the certificates")
        (folder / "tls.key").unlink()
        a.add_topology("wan", start.config()["topologies"]["lan"])
        assert a.call("wan", "chain").encode() == renewed.chain
        before = pid(a)
        a.call("lan", "crash")
        until(
            lambda: pid(a) not in (before, None) and a.status()["lan"].state == "ready",
            "another worker",
        )
        assert chain(a) == renewed.chain

    def test_reload_takes_others_in_without_another_worker(self, start, tmp_path):
        first = write_folder(tmp_path / "first", new())
        certificates = new(authority=TWO)
        second = write_folder(tmp_path / "second", certificates)
        a = start(certs=str(first))
        before = pid(a)
        assert str(a.reload(start.config(certs=str(second)))) == "changed the certificates"
        until(lambda: chain(a) == certificates.chain, "the others")
        assert pid(a) == before
        assert not a.reload(start.config(certs=str(second)))

    def test_another_kind_of_protection_takes_another_worker(self, start, tmp_path):
        certs = str(write_folder(tmp_path / "certs", new()))
        a = start(secret="s")
        for keys, told in (
            ({"secret": "s", "certs": certs}, "replaced lan; changed the certificates"),
            ({"certs": certs}, "replaced lan; changed the secrets"),
            ({}, "replaced lan; changed the certificates"),
        ):
            before = pid(a)
            assert str(a.reload(start.config(**keys))) == told
            assert pid(a) != before
            assert bool(a.call("lan", "chain")) == ("certs" in keys)

    def test_faulty_files_change_nothing(self, start, tmp_path):
        a = start(certs=str(write_folder(tmp_path / "certs", certificates := new())))
        with pytest.raises(ConfigError, match="its certificate names"):
            a.reload(start.config(certs=str(write_folder(tmp_path / "others", new("10.0.0.1")))))
        assert chain(a) == certificates.chain


class TestFilesThatChange:
    @pytest.fixture
    def folder(self, tmp_path):
        return write_folder(tmp_path / "certs", new())

    def test_unusable_files_leave_the_last_good_ones_and_are_reported_once(
        self, start, folder, until_logged
    ):
        good = new()
        write_folder(folder, good)
        a = start(certs=str(folder))
        whole = new()
        (folder / "tls.crt").write_bytes(whole.chain[:100])
        until_logged(
            "tls.crt': it ends inside a PEM block; write the whole block; the last good ones stay "
            "in use"
        )
        write(folder / "tls.crt", whole.chain)
        until_logged("tls.key': it is not the key of the first certificate")
        write_folder(folder, new(since=timedelta(days=-9), until=timedelta(days=-1)))
        until_logged("its certificate expired on ")
        (folder / "ca.crt").unlink()
        until_logged("ca.crt': there is no such file")
        assert chain(a) == good.chain
        write_folder(folder, good)
        until_logged("certificates: can be used again, and is unchanged")
        assert until_logged.times("the last good ones stay in use") == 4
        write_folder(folder, whole)
        until_logged(f"certificates: '{folder}', valid until ")
        until(lambda: chain(a) == whole.chain, "the new one")

    def test_fault_of_ours_does_not_end_the_watch(self, start, folder, until_logged, monkeypatch):
        looks = []

        def read(*arguments, **more):
            looks.append(1)
            if len(looks) <= 2:
                raise RuntimeError("a fault of ours")
            return read_certificate_files(*arguments, **more)

        monkeypatch.setattr(file_watch, "read_certificate_files", read)
        a = start(certs=str(folder))
        until(lambda: len(looks) > 2, "three looks", TAKEN_IN_S)
        renewed = new()
        write_folder(folder, renewed)
        until(lambda: chain(a) == renewed.chain, "the new one", TAKEN_IN_S)
        assert (
            until_logged.times(
                "watching files of secrets and certificates fails, and is tried again"
            )
            == 1
        )
        assert until_logged.times("RuntimeError: a fault of ours") == 1

    def test_certificate_that_is_not_replaced_is_warned_about(self, start, folder, until_logged):
        write_folder(folder, new(until=timedelta(seconds=6)))
        start(certs=str(folder))
        until_logged(f"certificates: the certificate in '{folder}/tls.crt' expired on ", 20)
        assert until_logged.times(" expired on ") == 1

    def test_three_files_are_watched_as_well(self, start, folder):
        a = start(
            cert=str(folder / "tls.crt"), key=str(folder / "tls.key"), ca=str(folder / "ca.crt")
        )
        renewed = new()
        write_folder(folder, renewed)
        until(lambda: chain(a) == renewed.chain, "the new one", TAKEN_IN_S)


class TestLinks:
    """Nodes at addresses of loopback, each of which its own certificate names."""

    def test_nodes_link_by_certificates_that_name_their_hosts(self, join, tmp_path):
        a = join("a@127.0.0.2", write_folder(tmp_path / "a", new("127.0.0.2")))
        b = join("b@127.0.0.3", write_folder(tmp_path / "b", new("127.0.0.3")), a)
        b.wait_for(2, timeout_s=30)
        a.wait_for(2, timeout_s=30)

    def test_nodes_link_by_a_trust_domain_whatever_their_hosts(self, join, tmp_path):
        certificates = [new(f"spiffe://example.org/{name}") for name in "ab"]
        a = join(
            "a@127.0.0.2", write_folder(tmp_path / "a", certificates[0]), trust_domain="example.org"
        )
        b = join(
            "b@127.0.0.3",
            write_folder(tmp_path / "b", certificates[1]),
            a,
            trust_domain="example.org",
        )
        b.wait_for(2, timeout_s=30)

    def test_nodes_with_both_ask_both_of_each_other(self, join, tmp_path):
        a = join("a@127.0.0.2", write_folder(tmp_path / "a", new("127.0.0.2")), secret="s")
        without = join("b@127.0.0.3", write_folder(tmp_path / "b", new("127.0.0.3")), a)
        c = join("c@127.0.0.4", write_folder(tmp_path / "c", new("127.0.0.4")), a, secret="s")
        c.wait_for(2, timeout_s=30)
        a.wait_for(2, timeout_s=30)
        until(lambda: without.status()["lan"].failing.get("auth"), "a refusal")
        assert [node.name for node in a.nodes()] == ["c@127.0.0.4"]

    def test_files_renewed_by_a_folder_that_is_swapped_lose_no_link(
        self, join, tmp_path, until_logged
    ):
        mounted = Mounted(tmp_path / "a", new("127.0.0.2"))
        a = join("a@127.0.0.2", mounted.folder)
        events = a.subscribe()
        b = join("b@127.0.0.3", write_folder(tmp_path / "b", new("127.0.0.3")), a)
        next_of(events, NodeUp, node="b@127.0.0.3")
        mounted.replace(new("127.0.0.2", authority=TWO, authorities=BOTH))
        until_logged(f"certificates: '{mounted.folder}', valid until ")
        c = join("c@127.0.0.4", write_folder(tmp_path / "c", new("127.0.0.4", authority=TWO)), a)
        c.wait_for(2, timeout_s=30)  # it believes the new certificate only
        next_of(events, NodeUp, node="c@127.0.0.4")
        assert {node.name for node in a.nodes()} == {"b@127.0.0.3", "c@127.0.0.4"}
        assert not a.status()["lan"].gone
        assert [node.name for node in b.nodes()] == ["a@127.0.0.2"]
        a.stop()
        ends = [str(event.reason) for event in events if isinstance(event, NodeDown)]
        assert ends == ["shutdown", "shutdown"]

    def test_half_written_file_keeps_new_links_going(self, join, tmp_path, until_logged):
        folder = write_folder(tmp_path / "a", new("127.0.0.2"))
        a = join("a@127.0.0.2", folder)
        renewed = new("127.0.0.2")
        (folder / "tls.crt").write_bytes(renewed.chain[:300])
        until_logged("it ends inside a PEM block")
        b = join("b@127.0.0.3", write_folder(tmp_path / "b", new("127.0.0.3")), a)
        b.wait_for(2, timeout_s=30)
