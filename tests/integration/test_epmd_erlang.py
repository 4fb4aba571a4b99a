"""Real Erlang nodes beside ours at one EPMD: each side sees the other's registration correctly."""

import contextlib
import os
import subprocess

import pytest
from epmd_server import EpmdServer, Erl
from waiting import run

from cluster_kit.abc import Found
from cluster_kit.node import Node
from cluster_kit.strategies.epmd import EpmdStrategy
from cluster_kit.strategies.erlang_hosts import ErlangHostsStrategy, parse_hosts
from cluster_kit.strategies.local_epmd import LocalEpmdStrategy
from cluster_kit.testing import FakeDiscovery, Listener

pytestmark = pytest.mark.once

ANN = Node(name="ann@127.0.0.1", address="127.0.0.1:45001")


@pytest.fixture
def server(require):
    require("epmd")
    require("erl")
    with EpmdServer() as server:
        yield server


def strategies(port, tmp_path):
    path = tmp_path / ".hosts.erlang"
    path.write_text("'127.0.0.1'.\n")
    options = {"epmd_port": port, "interval_s": 0.1}
    return [
        EpmdStrategy(hosts=("b@127.0.0.1",), **options),
        LocalEpmdStrategy(**options),
        ErlangHostsStrategy(path=path, **options),
    ]


@pytest.mark.parametrize("index", range(3), ids=["epmd", "local_epmd", "erlang_hosts"])
def test_erlang_node_is_found_at_its_distribution_port(server, tmp_path, index):
    async def scenario():
        strategy = strategies(server.port, tmp_path)[index]
        expected = Node(name="b@127.0.0.1", address=f"127.0.0.1:{server.names()['b']}")
        async with Listener(strategy, FakeDiscovery(ANN)) as ann:
            assert await ann.until(
                lambda each: isinstance(each, Found) and each.nodes, "b"
            ) == Found([expected])

    with Erl(server, "b@127.0.0.1", tmp_path):
        run(scenario)


def test_our_registration_is_seen_by_erlang_as_a_node_of_no_version_that_it_speaks(
    server, tmp_path
):
    async def scenario():
        ctx = FakeDiscovery(ANN)
        async with Listener(LocalEpmdStrategy(epmd_port=server.port), ctx):
            await ctx.has_announced.wait()
            names = erl.evaluate("lists:sort(element(2, net_adm:names('127.0.0.1')))")
            assert names.count("{[97,110,110],45001}") == 1
            assert erl.evaluate('erl_epmd:port_please("ann", "127.0.0.1")') == "{port,45001,0}"

    with Erl(server, "b@127.0.0.1", tmp_path) as erl:
        run(scenario)


def test_name_that_an_erlang_node_holds_is_reported(server, tmp_path):
    async def scenario():
        async with Listener(LocalEpmdStrategy(epmd_port=server.port), FakeDiscovery(ANN)) as ann:
            await ann.until(
                lambda each: "an Erlang node, port" in str(getattr(each, "error", "")),
                "the holder's name",
            )

    with Erl(server, "ann@127.0.0.1", tmp_path):
        run(scenario)


TEXTS = [
    "'a.example'.\n'b'.\n",
    "% nobody\n",
    "",
    "gauffin1.\n",
    '"a.example".\n',
    "'a' .\n'b'\n.\n% 'c'.\n",
    "'a'.% first\n'b'. 'c'.",
    "'a'.\r\n'b'.\r\n",
    "'fe80::1%eth0'.\n",
    "a.example.\n",
    "'a'\n'b'.\n",
    "'a'.'b'.\n",
    "'a.\n",
    "'a'.\n'b'\n",
]


READ_ALL = """
    [begin
        ok = file:set_cwd(Folder),
        Line = case net_adm:host_file() of
            {error, _} -> error;
            Hosts -> [lists:flatten(io_lib:format("~s", [Host])) || Host <- Hosts]
        end,
        io:format("~p~n", [Line])
    end || Folder <- lists:sort(filelib:wildcard("FOLDERS/*"))],
    halt().
"""


def test_host_file_is_read_as_erlang_reads_it(require, tmp_path):
    require("erl")
    folders = tmp_path / "folders"
    for number, text in enumerate(TEXTS):
        folder = folders / f"{number:02}"
        folder.mkdir(parents=True)
        (folder / ".hosts.erlang").write_text(text)
    command = ["erl", "-noshell", "-eval", READ_ALL.replace("FOLDERS", str(folders))]
    done = subprocess.run(
        command,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(map(_as_erlang_prints_it, TEXTS)) == done.stdout.splitlines()


def _as_erlang_prints_it(text):
    with contextlib.suppress(ValueError):
        return "[" + ",".join(f'"{host}"' for host in parse_hosts(text)) + "]"
    return "error"
