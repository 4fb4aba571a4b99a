"""Strategy ``kubernetes`` beside an API server that a scenario drives."""

import asyncio
import base64
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kubernetes_api import SLICES, KubernetesApi
from made_up_certificates import pem, pem_of_key

from cluster_kit.abc import Failed, Found, Gone, Leaving
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.strategies.kubernetes.limits import LIMITS, Limits
from cluster_kit.strategies.kubernetes.session import KubernetesSession
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.listener import Listener

DEADLINE_S = 30.0
IN_TIME = Limits(early_s=1e3)  # a watch that ends in good order passes for one that ran its time


@dataclass
class Limited:
    """The strategy with other limits."""

    strategy: KubernetesStrategy
    limits: Limits

    def discover(self, ctx):
        return KubernetesSession(self.strategy, ctx, self.limits).observe()


def run_scenario(api, folder, scenario, objects=(), *, plural=SLICES, limits=LIMITS, **options):
    """Run a scenario with the server and a strategy that listens to it."""

    async def main():
        await api.put(plural, *objects)
        async with (
            asyncio.timeout(90),
            api.serving(),
            listening(api, folder, limits=limits, **options) as heard,
        ):
            await scenario(heard)

    asyncio.run(main())


@asynccontextmanager
async def listening(api, folder, *, host="10.0.0.1", found=frozenset(), limits=LIMITS, **options):
    defaults = {"service_name": "web", "kubeconfig": api.kubeconfig(folder / "kubeconfig")}
    strategy = Limited(KubernetesStrategy(**defaults | options), limits)
    ctx = FakeDiscovery(Node(name=f"me@{host}"), found=found)
    async with Heard(strategy, ctx, deadline_s=DEADLINE_S) as heard:
        yield heard


class Heard(Listener):
    """What a strategy reported, as names or addresses."""

    @property
    def known(self):
        """The nodes known after all that was reported."""
        found = [each for each in self.observations if isinstance(each, Found)]
        return {node.key for node in found[-1].nodes} if found else None

    @property
    def failures(self):
        return [str(each.error) for each in self.observations if isinstance(each, Failed)]

    async def watching(self, api):
        """Wait until the list has been reported, and is being watched."""
        await api.until_watched()
        await self.until(lambda each: isinstance(each, Found), "an answer")

    async def until_known(self, *keys, since=0):
        def told(observation):
            return isinstance(observation, Found) and {
                node.key for node in observation.nodes
            } == set(keys)

        return await self.until(told, f"to know {keys}", since=since)

    async def until_failed(self, text="", since=0):
        return await self.until(
            lambda each: isinstance(each, Failed) and text in str(each.error),
            f"{text!r}",
            since=since,
        )

    def never_lost(self, *keys):
        """Assert that these, once reported, stayed."""
        known = [
            {node.key for node in each.nodes}
            for each in self.observations
            if isinstance(each, Found)
        ]
        assert known
        assert all(set(keys) <= each for each in known), known
        gone = [each.name for each in self.observations if isinstance(each, Gone | Leaving)]
        assert not set(gone) & set(keys)


def address(*numbers):
    return [f"10.0.0.{number}:4000" for number in numbers]


async def found(heard, since=0):
    await heard.until(
        lambda each: isinstance(each, Found) and each.nodes, "to find somebody", since=since
    )
    assert not [each for each in heard.observations[since:] if isinstance(each, Failed)]


def failed(*texts):
    """Return a scenario in which the first failure says one of these."""

    async def scenario(heard):
        observation = await heard.until(lambda each: isinstance(each, Failed), "a failure")
        message = str(observation.error)
        assert any(text in message for text in texts), message
        assert message.startswith("kubernetes: ")
        assert "\n" not in message

    return scenario


def issued(authority, title):
    """Return a certificate of that common name for this host, and its key."""
    leaf, key = authority.leaf("127.0.0.1", title=title, purposes=())
    return pem(leaf), pem_of_key(key)


def secured_api(authority, folder):
    """Return a server that shows a certificate, and asks for one."""
    for name, data in zip(("crt", "key"), issued(authority, "kube-apiserver"), strict=True):
        (folder / f"server.{name}").write_bytes(data)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.pem.decode())
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    context.verify_mode = ssl.CERT_OPTIONAL
    # the default from Python 3.13 on; kube-apiserver isn't so strict
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return KubernetesApi(ssl_context=context)


def encoded(data):
    return base64.b64encode(data).decode()
