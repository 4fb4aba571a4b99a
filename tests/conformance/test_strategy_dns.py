"""The DNS strategies keep the contract."""

import pytest
from dns_hostile import HostileServer

from cluster_kit.strategies.dns import DnsStrategy
from cluster_kit.strategies.dns_srv import DnsSrvStrategy
from cluster_kit.strategies.kubernetes_dns import KubernetesDnsStrategy
from cluster_kit.strategies.kubernetes_dns_srv import KubernetesDnsSrvStrategy
from cluster_kit.testing import StrategyConformance

SERVICE = "web.shop.svc.cluster.local"
RECORDS = {
    (SERVICE, "A"): ["127.0.0.4", "127.0.0.5"],
    (SERVICE, "AAAA"): ["::4"],
    (SERVICE, "SRV"): ["0 5 4370 web-0.shop.test.", "0 5 4370 web-1.shop.test."],
    ("web-0.shop.test", "A"): ["127.0.0.4"],
    ("web-1.shop.test", "A"): ["127.0.0.5"],
}


class ByServer(StrategyConformance):
    """A name server that can be broken."""

    @pytest.fixture(autouse=True)
    def _server(self, monkeypatch):
        monkeypatch.delenv("CLUSTER_DOMAIN", raising=False)
        with HostileServer(RECORDS) as self.server:
            yield

    def break_source(self):
        self.server.manner = "servfail"

    def mend_source(self):
        self.server.manner = "answer"


class TestDns(ByServer):
    @pytest.fixture
    def strategy(self):
        return DnsStrategy(query=SERVICE, port=4370, resolver=self.server.resolver, interval_s=0.05)


class TestDnsSrv(ByServer):
    @pytest.fixture
    def strategy(self):
        return DnsSrvStrategy(query=SERVICE, resolver=self.server.resolver, interval_s=0.05)


class TestKubernetesDns(ByServer):
    @pytest.fixture
    def strategy(self):
        options = {"resolver": self.server.resolver, "polling_interval_s": 0.05}
        return KubernetesDnsStrategy(
            service="web", namespace="shop", application_name="app", **options
        )


class TestKubernetesDnsSrv(ByServer):
    @pytest.fixture
    def strategy(self):
        options = {"resolver": self.server.resolver, "polling_interval_s": 0.05}
        return KubernetesDnsSrvStrategy(
            service="web", namespace="shop", application_name="app", **options
        )


class TestDnsBySystem(StrategyConformance):
    @pytest.fixture
    def strategy(self):
        return DnsStrategy(query="localhost", port=45004, family="ipv4", interval_s=0.05)
