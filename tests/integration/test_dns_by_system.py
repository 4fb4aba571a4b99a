"""Strategy ``dns`` by the system's resolver, in mount namespaces with their own resolv.conf."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import Process
from dns_hostile import HostileServer

SCRIPT = Path(__file__).with_name("dns_by_system.py")
MOUNTED = (
    'mount --bind "$0/resolv.conf" /etc/resolv.conf && '
    'mount --bind "$0/hosts" /etc/hosts && exec "$@"'
)
WEB, DB = "web.shop.test", "db.shop.test"
pytestmark = [pytest.mark.once, pytest.mark.netns]  # that is: as root
TWO = ["127.0.0.2:4370", "127.0.0.3:4370"]
DNS_PORT = 53


@pytest.fixture
def server(require):
    require("unshare")
    records = {
        (WEB, "A"): ["127.0.0.2", "127.0.0.3"],
        (DB, "A"): ["127.0.0.4"],
        (DB, "AAAA"): ["::1"],
    }
    address = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}.{random.randint(1, 250)}"
    with HostileServer(records, address=address, port=DNS_PORT) as server:
        yield server


@pytest.fixture
def start(server, tmp_path):
    """Return a function that starts the strategy in a place with these settings."""
    started = []

    def start(query=WEB, *, hosts="", timeout_s=1, search="", doing="discover", **options):
        address = server.resolver.partition(":")[0]
        (tmp_path / "resolv.conf").write_text(
            f"nameserver {address}\n{search}\noptions timeout:{timeout_s} attempts:1\n"
        )
        (tmp_path / "hosts").write_text(hosts)
        given = json.dumps({"query": query, "port": 4370, "interval_s": 0.05, **options})
        command = [
            "unshare",
            "-m",
            "sh",
            "-c",
            MOUNTED,
            tmp_path,
            sys.executable,
            SCRIPT,
            doing,
            given,
        ]
        started.append(Process(*command, stdin=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.end()


def observed(process):
    return [json.loads(line) for line in process.lines]


def until_found(process, *addresses, after=0):
    process.until(lambda: sorted(addresses) in observed(process)[after:], addresses)


def until_failed(process, text, times=1):
    before = len(observed(process))
    process.until(
        lambda: (
            sum(text in each for each in observed(process)[before:] if isinstance(each, str))
            >= times
        ),
        text,
    )


def test_addresses_of_both_families_are_nodes(start):
    until_found(start(DB), "127.0.0.4:4370", "[::1]:4370")


def test_addresses_of_one_family_are_no_fault(start):
    process = start()
    process.until(lambda: observed(process)[:3] == [TWO] * 3, "three times the same")


def test_hosts_file_is_honoured(start):
    until_found(
        start("lan.test", hosts="127.0.0.7 lan.test\n127.0.0.8 lan.test\n"),
        "127.0.0.7:4370",
        "127.0.0.8:4370",
    )


def test_search_domains_are_honoured(start):
    until_found(start("web", search="search shop.test"), *TWO)


@pytest.mark.parametrize("manner", ["silent", "servfail", "refused", "garbage"])
def test_failed_lookup_removes_no_node(server, start, manner):
    process = start(confirmations=1, family="ipv4")
    until_found(process, *TWO)
    server.manner = manner
    until_failed(process, "cannot look up A of 'web.shop.test': the system's resolver", times=2)
    server.manner = "answer"
    until_found(process, *TWO, after=len(process.lines))
    assert [] not in observed(process)


@pytest.mark.parametrize(
    ("manner", "words"), [("nxdomain", "there is no such name"), ("nodata", "it has no A records")]
)
def test_empty_answer_is_believed_when_it_repeats(server, start, manner, words):
    process = start(confirmations=1, family="ipv4")
    until_found(process, *TWO)
    server.manner = manner
    until_found(process)
    answers = observed(process)
    assert words in answers[answers.index([]) - 1]  # it counts as failed once


def test_the_family_that_fails_keeps_its_nodes_while_the_other_goes_on(server, start):
    process = start(DB, confirmations=1)
    until_found(process, "127.0.0.4:4370", "[::1]:4370")
    server.manner = {"AAAA": "servfail"}
    server.records[DB, "A"] = ["127.0.0.5"]
    until_found(process, "127.0.0.5:4370", "[::1]:4370")
    until_failed(process, "cannot look up AAAA of 'db.shop.test'")


def test_truncated_answer_is_asked_for_again_by_tcp(server, start):
    server.manner = "truncated"
    until_found(start(family="ipv4"), *TWO)


def test_closing_doesn_t_wait_for_a_resolver_that_hangs(server, start):
    server.manner = "silent"
    process = start(timeout_s=30)
    assert server.was_asked.wait(30)
    process.process.stdin.close()
    process.process.stdin = None
    assert process.wait(timeout_s=20) == 0  # the look-up goes on for 30 s, and nobody waits for it


@pytest.fixture
def wildcards(server):
    """Add search domains that answer for every name, one of them by an alias."""
    server.records["*.corp.test", "A"] = ["127.0.0.9"]
    server.records["other.corp.test", "A"] = ["127.0.0.8"]
    server.records["*.alias.test", "CNAME"] = ["there.corp.test."]
    server.records["there.corp.test", "A"] = ["127.0.0.9"]


SEARCH = "search {}.test\noptions ndots:5"


@pytest.mark.parametrize("domain", ["corp", "alias"])
@pytest.mark.usefixtures("wildcards")
def test_a_wildcard_in_a_search_domain_is_no_answer(start, domain):
    process = start("nobody.shop.test", search=SEARCH.format(domain), family="ipv4")
    until_failed(process, f"search domain '{domain}.test' answers for every name")
    assert not any(isinstance(each, list) and each for each in observed(process))


@pytest.mark.usefixtures("wildcards")
def test_a_wildcard_that_rotates_its_addresses_is_no_answer(server, start):
    server.records["*.corp.test", "A"] = ["127.0.0.9", "127.0.0.10"]
    server.rotating = {"*.corp.test"}
    process = start("nobody.shop.test", search=SEARCH.format("corp"), family="ipv4")
    until_failed(process, "search domain 'corp.test' answers for every name", times=10)
    assert not any(isinstance(each, list) and each for each in observed(process))


@pytest.mark.usefixtures("wildcards")
def test_a_record_that_shares_an_address_with_a_wildcard_is_an_answer(server, start):
    server.records["other.corp.test", "A"] = ["127.0.0.8", "127.0.0.9"]
    process = start("other", search=SEARCH.format("corp"), family="ipv4")
    until_found(process, "127.0.0.8:4370", "127.0.0.9:4370")


@pytest.mark.parametrize("domain", ["corp", "alias"])
@pytest.mark.usefixtures("wildcards")
def test_a_wildcard_does_not_stand_before_the_name_that_is_meant(start, domain):
    process = start(WEB, search=SEARCH.format(domain), family="ipv4")
    until_found(process, *TWO)
    assert ["127.0.0.9:4370"] not in observed(process)


@pytest.mark.usefixtures("wildcards")
def test_a_record_beside_a_wildcard_is_an_answer(start):
    process = start("other", search=SEARCH.format("corp"), family="ipv4")
    until_found(process, "127.0.0.8:4370")


@pytest.mark.usefixtures("wildcards")
@pytest.mark.parametrize(
    "domain", ["shop", "corp", "alias"], ids=["no wildcard", "wildcard", "alias"]
)
@pytest.mark.parametrize("records", [[], ["127.0.0.6"]], ids=["without addresses", "with one"])
def test_a_top_level_domain_does_not_stand_before_a_short_name(server, start, domain, records):
    server.records["app", "SOA"] = ["ns.app. mail.app. 1 3600 600 86400 60"]
    server.records["app", "A"] = records
    server.records[f"app.{domain}.test", "A"] = ["127.0.0.7"]
    process = start("app", search=f"search {domain}.test", family="ipv4")
    until_found(process, "127.0.0.7:4370")
    assert observed(process)[0] == ["127.0.0.7:4370"]


@pytest.mark.usefixtures("wildcards")
def test_a_wildcard_does_not_stand_before_a_short_name_either(server, start):
    server.records["app", "A"] = ["127.0.0.6"]
    process = start("app", search="search corp.test", family="ipv4")
    until_found(process, "127.0.0.6:4370")
    assert ["127.0.0.9:4370"] not in observed(process)


def findings(process):
    assert process.wait() == 0
    return observed(process)


def test_the_system_is_diagnosed_with_what_the_servers_add(start, server):
    whom, a, aaaa = findings(start(doing="diagnose"))
    assert whom["got"] == f"{server.resolver}; no search domains"
    assert a["asked"] == "A of 'web.shop.test' at the system's resolver"
    assert a["got"] == "2 records: 127.0.0.2, 127.0.0.3; time to live 30 s"
    assert aaaa["outcome"] == "ok"


def test_a_failure_of_the_system_is_reported_in_the_servers_words(start, server):
    server.manner = "servfail"
    _, a, _ = findings(start(doing="diagnose"))
    assert a["got"].endswith(
        f"temporary failure in name resolution: {server.resolver} answers SERVFAIL"
    )
    assert a["outcome"] == "failed"
    assert "look at its log" in a["cause"]


def test_a_whole_name_of_the_hosts_file_is_not_completed_by_a_search_domain(start):
    hosts = "127.0.0.7 other.shop.test other # a comment\n"
    _, a, _ = findings(start("other", hosts=hosts, search="search shop.test", doing="diagnose"))
    assert a["got"] == "1 record: 127.0.0.7"


@pytest.mark.usefixtures("wildcards")
def test_the_hosts_file_wins_over_a_wildcard(start):
    process = start(
        "other", hosts="127.0.0.9 mine.corp.test other\n", search="search corp.test", family="ipv4"
    )
    until_found(process, "127.0.0.9:4370")
    assert observed(process)[0] == ["127.0.0.9:4370"]


def test_a_search_domain_that_completes_a_name_is_reported_by_the_system_as_well(start):
    _, a, _ = findings(start("web", search="search shop.test", doing="diagnose"))
    assert a["got"].startswith(
        "2 records: 127.0.0.2, 127.0.0.3; completed by search domain 'shop.test'"
    )
