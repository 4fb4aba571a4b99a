"""Strategy ``kubernetes`` reaches the API server through a proxy.

The server is at 0.0.0.0, which is this host, but no loopback address, which would need no proxy.
"""

import asyncio
from contextlib import asynccontextmanager, closing, suppress

import pytest
from kubernetes_api import SLICES
from kubernetes_objects import endpoint_slice
from kubernetes_stage import encoded, failed, found, secured_api
from made_up_certificates import Authority

from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.listener import Listener


@pytest.fixture(scope="module")
def authority():
    return Authority("kubernetes", bare=True)


@pytest.fixture
def api(authority, tmp_path):
    return secured_api(authority, tmp_path)


class ConnectProxy:
    """An HTTP proxy that opens tunnels, or refuses to; it keeps what it was asked for."""

    def __init__(self, refusal=None):
        self.refusal = refusal
        self.asked = []
        self.url = None

    @asynccontextmanager
    async def serving(self):
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.url = f"http://jane:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.decode())
        if self.refusal:
            writer.write(f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            writer.close()
            return
        host, _, port = head.split()[1].decode().rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))

    async def _copy(self, source, sink):
        with closing(sink), suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run_through(api, authority, tmp_path, monkeypatch):
    def run_through(proxy, scenario, *, proxy_url=False, **environ):
        data = {
            "certificate-authority-data": encoded(authority.pem),
            "tls-server-name": "127.0.0.1",
        }

        def kubeconfig():
            for name, value in environ.items():
                monkeypatch.setenv(name, value or proxy.url)
            more = {"proxy-url": proxy.url} if proxy_url else {}
            server = f"https://0.0.0.0:{api.port}"
            return api.kubeconfig(tmp_path / "kubeconfig", server=server, **data, **more)

        async def main():
            await api.put(SLICES, endpoint_slice("s", "10.0.0.1"))
            async with asyncio.timeout(60), proxy.serving(), api.serving():
                strategy = KubernetesStrategy(service_name="web", kubeconfig=kubeconfig())
                async with Listener(strategy, FakeDiscovery(Node(name="me@10.0.0.9"))) as heard:
                    await scenario(heard)
                await api.stop()  # tunnels close, so that the proxy can end

        asyncio.run(main())

    return run_through


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_proxy_of_the_environment_is_used(run_through, name):
    proxy = ConnectProxy()
    run_through(proxy, found, **{name: None})
    assert proxy.asked[0].startswith("CONNECT 0.0.0.0:")
    assert "Proxy-Authorization: Basic " in proxy.asked[0]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("no_proxy", ["10.0.0.0/8, 0.0.0.0/8", "*", "0.0.0.0"])
def test_networks_and_hosts_in_no_proxy_are_reached_without_it(run_through, name, no_proxy):
    proxy = ConnectProxy()
    run_through(proxy, found, HTTPS_PROXY=None, **{name: no_proxy})
    assert not proxy.asked


def test_that_of_the_kubeconfig_wins_and_knows_no_exceptions(run_through):
    proxy = ConnectProxy()
    run_through(proxy, found, proxy_url=True, HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="*")
    assert proxy.asked


def test_a_proxy_that_refuses_is_named_without_its_password(run_through):
    async def scenario(heard):
        await failed(
            "(HTTPS_PROXY): the proxy answers 403 Forbidden: if the API server can be "
            "reached without it, add 0.0.0.0 to NO_PROXY"
        )(heard)
        assert "hush" not in repr(heard.observations)

    run_through(ConnectProxy("403 Forbidden"), scenario, HTTPS_PROXY=None)


def test_a_proxy_that_is_down_is_named(run_through):
    told = (
        "through proxy http://127.0.0.1:9 (https_proxy): the proxy can't be reached "
        "(connection refused)"
    )
    run_through(ConnectProxy(), failed(told), https_proxy="http://jane:hush@127.0.0.1:9")


def test_a_proxy_whose_name_does_not_resolve_is_named(run_through):
    proxy = "through proxy http://nosuch.invalid:3128 (HTTPS_PROXY)"
    told = f"{proxy}: the proxy can't be reached ("
    run_through(ConnectProxy(), failed(told), HTTPS_PROXY="http://jane:hush@nosuch.invalid:3128")


def test_a_proxy_of_a_kind_that_can_t_be_used_is_a_failure(run_through):
    told = "HTTPS_PROXY names the proxy 'socks5://127.0.0.1:9': expected http://host:port"
    run_through(ConnectProxy(), failed(told), HTTPS_PROXY="socks5://127.0.0.1:9")
