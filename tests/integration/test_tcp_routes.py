"""Addresses that lead to several nodes, back to ourselves, or to an impostor."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest
from cli_process import Hosted
from netns_lab import Lab
from tcp_stage import Local
from waiting import run

from cluster_kit.errors import ConnectError, ConnectReason, NetworkError, NetworkFault
from cluster_kit.network.system import SystemNetwork
from cluster_kit.node import BootId, Fence, Node, split_address
from cluster_kit.testing.leaks import close_server
from cluster_kit.wire.frames import FrameReader, Refusal, encode

SEED = "seed.test"
ELSEWHERE = Fence("other", "web")


@pytest.fixture
def names(monkeypatch):
    """A dictionary of host names, and the addresses that they resolve to, in this order."""
    names = {}
    real = SystemNetwork.resolve

    async def resolve(network, host):
        return [
            address for each in names.get(host, [host]) for address in await real(network, each)
        ]

    monkeypatch.setattr(SystemNetwork, "resolve", resolve)
    return names


def seed(node):
    return Node(address=f"{SEED}:{split_address(node.address)[1]}")


def refusing_at(host, port):
    """Return a socket that holds a port without listening: dials are refused."""
    sock = socket.socket()
    sock.bind((host, port))
    return sock


@contextlib.asynccontextmanager
async def serving(handle, host="127.0.0.1", port=0):
    """A server of the test's own; ends with all that it has begun."""
    tasks = set()

    async def answer(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            await handle(reader, writer)

    server = await asyncio.start_server(answer, host, port)
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        await close_server(server)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def pump(reader, writer):
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


def balancer(*nodes):
    """Lead one connection after the other to these nodes, and the rest to the last one."""
    addresses = [split_address(node.address) for node in nodes]

    async def forward(reader, writer):
        there, back = await asyncio.open_connection(
            *(addresses.pop(0) if len(addresses) > 1 else addresses[0])
        )
        with contextlib.closing(back):
            await asyncio.gather(pump(reader, back), pump(there, writer))

    return forward


async def refusal_of(node, target):
    with pytest.raises(ConnectError) as caught:
        await node.connector.connect(target)
    return caught.value


# -- names with several addresses ------------------------------------------------------------------


def test_name_that_resolves_to_ourselves_first_leads_to_the_next(names):
    async def scenario():
        async with Local("ann", host="127.0.0.2") as ann:
            port = split_address(ann.node.address)[1]
            async with Local("bob", host="127.0.0.3", port=port) as bob:
                names[SEED] = ["127.0.0.2", "127.0.0.3"]
                assert (await ann.connector.connect(seed(ann.node))).name == bob.name
                await bob.links.expect("up", ann.name)
                assert ann.history(bob) == ["up"]

    run(scenario)


def test_name_that_resolves_to_ourselves_alone_is_ourselves(names):
    async def scenario():
        async with Local("ann", host="127.0.0.2") as ann:
            names[SEED] = ["127.0.0.2"]
            for _ in range(2):  # found out, then known
                error = await refusal_of(ann, seed(ann.node))
                assert (error.reason, error.retryable) == (ConnectReason.SELF, False)
            names[SEED] = ["127.0.0.2", "127.0.0.3"]
            assert (await refusal_of(ann, seed(ann.node))).reason is ConnectReason.REFUSED

    run(scenario)


def test_name_that_leads_to_strangers_first_leads_to_the_next(names):
    async def scenario():
        async with Local("far", host="127.0.0.2", fence=ELSEWHERE) as foreign:
            port = split_address(foreign.node.address)[1]
            async with Local("bob", host="127.0.0.4", port=port) as bob, Local("ann") as ann:
                names[SEED] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
                assert (await ann.connector.connect(seed(bob.node))).name == bob.name
                named = Node(name=bob.name, address=seed(bob.node).address)
                assert (await ann.connector.connect(named)).name == bob.name

    run(scenario)


def test_address_that_does_not_answer_does_not_hold_up_the_next(names):
    async def scenario():
        async with Local("bob", host="127.0.0.3") as bob, Local("ann") as ann:
            port = split_address(bob.node.address)[1]
            with contextlib.ExitStack() as held:
                hole = held.enter_context(socket.socket())
                hole.bind(("127.0.0.2", port))
                hole.listen(0)
                for _ in range(4):
                    filling = held.enter_context(socket.socket())
                    filling.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        filling.connect(("127.0.0.2", port))
                names[SEED] = ["127.0.0.2", "127.0.0.3"]
                assert (await ann.connector.connect(seed(bob.node))).name == bob.name

    run(scenario)


def test_address_that_this_machine_cannot_dial_is_passed_over(names, monkeypatch):
    real = SystemNetwork.dial

    async def dial(network, to):
        if to.host == "127.0.0.2":
            raise NetworkError(
                "address family not supported by protocol", fault=NetworkFault.UNSUPPORTED
            )
        return await real(network, to)

    monkeypatch.setattr(SystemNetwork, "dial", dial)

    async def scenario():
        async with Local("ann") as ann, Local("bob") as bob:
            names[SEED] = ["127.0.0.2", "127.0.0.1"]
            assert (await ann.connector.connect(seed(bob.node))).name == bob.name

    run(scenario)


def test_of_several_reasons_the_one_that_may_pass_is_given(names):
    async def scenario():
        async with Local("far", host="127.0.0.2", fence=ELSEWHERE) as foreign, Local("ann") as ann:
            names[SEED] = ["127.0.0.2", "127.0.0.3"]
            assert (await refusal_of(ann, seed(foreign.node))).reason is ConnectReason.REFUSED
            names[SEED] = ["127.0.0.2"]
            assert (await refusal_of(ann, seed(foreign.node))).reason is ConnectReason.FOREIGN

    run(scenario)


def test_process_whose_name_is_taken_tries_no_further_address(names):
    async def scenario():
        async with (
            Local("bob", host="127.0.0.2") as bob,
            Local("cat", host="127.0.0.3", port=split_address(bob.node.address)[1]) as cat,
            Local("ann", boot_id=BootId(1, 0)) as older,
            Local("ann", boot_id=BootId(2, 0)) as newer,
        ):
            await older.connect(bob)
            names[SEED] = ["127.0.0.2", "127.0.0.3"]
            assert (await refusal_of(newer, seed(bob.node))).reason is ConnectReason.CONFLICT
            assert cat.links.reports == []

    run(scenario)


# -- ourselves, and who says so --------------------------------------------------------------------


def test_balancer_that_leads_back_to_us_leads_to_another_the_next_time():
    async def scenario():
        async with (
            Local("ann") as ann,
            Local("bob") as bob,
            serving(balancer(ann.node, bob.node)) as address,
        ):
            error = await refusal_of(ann, Node(address=address))
            assert (error.reason, error.retryable) == (ConnectReason.SELF, True)
            assert (await ann.connector.connect(Node(address=address))).name == bob.name

    run(scenario)


def test_false_self_refusal_does_not_keep_a_node_from_being_dialled():
    async def claim(reader, writer):
        frames = FrameReader()
        while frames.next(65536) is None:
            frames.feed(await reader.read(4096))
        writer.write(encode(Refusal(reason="self")))
        await reader.read()

    async def scenario():
        async with Local("ann") as ann:
            async with serving(claim) as address:
                error = await refusal_of(ann, Node(address=address))
                assert (error.reason, error.retryable) == (ConnectReason.FAILED, True)
                assert "our own hello never arrived here" in str(error)
            async with Local("bob", port=split_address(address)[1]) as bob:
                assert (await ann.connector.connect(Node(address=address))).name == bob.name

    run(scenario)


def test_address_that_a_peer_claims_is_dialled_all_the_same():
    async def scenario():
        async with (
            Local("ann") as ann,
            Local("bob") as bob,
            Local("eve", advertise=bob.node.address) as eve,
        ):
            await eve.link(ann)
            assert (await ann.connector.connect(Node(address=bob.node.address))).name == bob.name

    run(scenario)


# -- as hosts meet it ------------------------------------------------------------------------------


@pytest.fixture
def host_names(tmp_path):
    """Give each place a hosts file of its own, where the seed is that place itself first."""
    with contextlib.ExitStack() as made:

        def write(lab, port):
            for place in lab.nodes:
                ordered = [place, *(other for other in lab.nodes if other is not place)]
                folder = made.enter_context(etc_of(place))
                (folder / "hosts").write_text(
                    "".join(f"{each.address} {SEED}\n" for each in ordered)
                )

        yield write


@contextlib.contextmanager
def etc_of(place):
    """The folder of files that ``ip netns exec`` mounts over those in /etc."""
    folder = Path("/etc/netns") / place.name
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.netns
def test_hosts_that_share_a_seed_name_which_is_each_of_them_form_a_cluster(cluster, host_names):
    lan = {
        "strategy": {"name": "static", "nodes": [f"{SEED}:4470"]},
        "connector": {"name": "tcp", "port": 4470},
    }
    file = cluster.write("seed.yaml", {"lan": lan}, insecure=True)
    with Lab(3) as lab:
        host_names(lab, 4470)
        nodes = [cluster.keep(Hosted(place, file)) for place in lab.nodes]
        for node in nodes:
            for other in nodes:
                if other is not node:
                    node.wait_for("node_up", node=other.name)


def test_seed_that_is_ourselves_alone_is_warned_about(cluster):
    with refusing_at("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
    tcp = {"name": "tcp", "host": "0.0.0.0", "port": port}
    lan = {"strategy": {"name": "static", "nodes": [f"127.0.0.2:{port}"]}, "connector": tcp}
    file = cluster.write("seed.yaml", {"lan": lan}, insecure=True)
    node = cluster.run("a@127.0.0.1", file=file)
    warning = "static: lists only this node: add the address of another one"
    node.until(lambda: any(warning in line for line in node.errors), warning)
