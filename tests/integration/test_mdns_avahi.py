"""With avahi-daemon: it resolves our services, we find its, and both share the port of one host."""

import json

import pytest
from avahi import avahi
from mdns_process import a_type, all_see_each_other, diagnosed, peers
from netns_lab import Lab

from cluster_kit.node import BootId

pytestmark = [pytest.mark.once, pytest.mark.netns]

BOOT = str(BootId(1_800_000_000_000, 0xFEED))
TOLD = ("txtvers=1", "name=web@127.0.0.1", "cluster=test", "group=lan", f"boot={BOOT}", "m.zone=b")


@pytest.fixture
def loopback(require, tmp_path):
    with avahi(require, tmp_path) as daemon:
        yield daemon


def test_avahi_resolves_our_service_with_all_its_fields(loopback):
    with peers() as start:
        service_type = a_type()
        one = start("ann@127.0.0.1", service_type)
        boot = one.boot()
        one.change(metadata={"zone": "a"})
        start("bob@127.0.0.1", service_type).until_printed('"zone": "a"')
        (ann,) = [
            fields for fields in loopback.resolved(service_type) if "ann@127.0.0.1" in fields[-1]
        ]
        assert ann[7:9] == ["127.0.0.1", "4000"]
        told = set(
            json.loads(f"[{ann[-1].replace(chr(34) + ' ' + chr(34), chr(34) + ',' + chr(34))}]")
        )
        assert {
            "txtvers=1",
            "name=ann@127.0.0.1",
            "cluster=test",
            "group=lan",
            f"boot={boot}",
            "m.zone=a",
        } <= told


def test_service_that_avahi_publishes_is_found_until_it_is_withdrawn(loopback):
    with peers() as start:
        service_type = a_type()
        one = start("ann@127.0.0.1", service_type)
        one.boot()
        publishing = loopback.publish("published by hand", service_type, 4001, *TOLD)
        one.expect(
            seen="web@127.0.0.1", address="127.0.0.1:4001", boot=BOOT, metadata={"zone": "b"}
        )
        publishing.end()
        one.expect(gone="web@127.0.0.1", reason="left", boot=BOOT)


def test_service_that_avahi_has_published_before_is_found(loopback):
    with peers() as start:
        service_type = a_type()
        loopback.publish("published by hand", service_type, 4001, *TOLD)
        start("ann@127.0.0.1", service_type).expect(seen="web@127.0.0.1", address="127.0.0.1:4001")


def test_avahi_sees_that_we_leave(loopback):
    with peers() as start:
        service_type = a_type()
        one = start("ann@127.0.0.1", service_type)
        one.boot()
        browsing = loopback.start("avahi-browse", "-p", service_type.removesuffix(".local."))
        browsing.until(lambda: any(line.startswith("+") for line in browsing.lines), "our service")
        one.close()
        browsing.until(
            lambda: any(line.startswith("-") for line in browsing.lines), "that it has left"
        )


def test_nodes_see_each_other_beside_avahi(loopback):
    with peers() as start:
        service_type = a_type()
        started = [start(f"n{number}@127.0.0.1", service_type) for number in range(3)]
        all_see_each_other(started)
        started[0].close()
        started[1].expect(gone="n0@127.0.0.1", reason="left")
        assert [peer.failures() + peer.errors for peer in started] == [[], [], []]


def test_avahi_on_another_host_resolves_us_and_is_found(require, tmp_path):
    with Lab(2) as lab, avahi(require, tmp_path, "eth0", lab.nodes[1]) as daemon, peers() as start:
        service_type = a_type()
        one = start(f"ann@{lab.nodes[0].address}", service_type, lab.nodes[0])
        one.boot()
        daemon.publish("published by hand", service_type, 4001, *TOLD)
        one.expect(seen="web@127.0.0.1", address=f"{lab.nodes[1].address}:4001")
        addresses = {fields[7] for fields in daemon.resolved(service_type)}
        assert addresses == {place.address for place in lab.nodes}


def test_diagnosis_distinguishes_a_network_without_nodes_from_one_without_multicast(
    require, tmp_path
):
    with Lab(2) as lab, avahi(require, tmp_path, "eth0", lab.nodes[1]) as daemon:
        daemon.publish("a printer", "_ipp._tcp.local.", 631)
        name = f"ann@{lab.nodes[0].address}"
        found = diagnosed(name, a_type(), lab.nodes[0])[-1]
        assert found["outcome"] == "empty"
        assert f"multicast DNS works, {lab.nodes[1].address} answers" in found["cause"]
        lab.nodes[0].cut()
        found = diagnosed(name, a_type(), lab.nodes[0])[-1]
        assert "nobody at all answers multicast DNS" in found["cause"]
