"""What certificates protect off loopback, and what needs a secret beside them."""

import pytest
from certificate_files import write_folder
from certified_config import AUTHORITY, fault, load
from config_parts import Listening, Silent

from cluster_kit.config.advice import advice


class Sealed(Silent):
    """Multicasts what a secret seals."""

    needs_secret = True

    def serves_on(self, host):
        return host


class Hinting(Silent):
    """Multicasts hints."""

    def serves_on(self, host):
        return host


class Bare(Listening):
    """Takes no notice of what could protect it."""

    uses_secret = False


class TestOffLoopback:
    @pytest.fixture
    def certs(self, tmp_path):
        return str(write_folder(tmp_path / "certs", AUTHORITY.certificates("10.0.0.1")))

    def test_certificates_let_links_and_hints_off_loopback(self, certs):
        topologies = {"lan": {"strategy": [Silent, Hinting]}}
        assert load(node="a@10.0.0.1", certs=certs, topologies=topologies).certificates

    def test_sealed_strategy_needs_a_secret_despite_certificates(self, certs):
        keys = {"node": "a@10.0.0.1", "certs": certs, "topologies": {"lan": {"strategy": Sealed}}}
        message = fault(**keys)
        assert message.startswith(
            "topologies.lan.strategy: serves off loopback on '10.0.0.1', where anybody could forge "
            "what Sealed"
        )
        assert "certificates protect only links; run 'cluster-kit secret" in message
        assert load(**keys, secret="s")
        assert load(**keys, insecure=True)

    def test_gossip_is_what_a_secret_seals(self, certs):
        topologies = {"lan": {"strategy": "cluster_kit.strategies.gossip:GossipStrategy"}}
        assert "certificates protect only links" in fault(
            node="a@10.0.0.1", certs=certs, topologies=topologies
        )

    def test_connector_that_does_not_use_them_is_refused(self, certs):
        keys = {
            "node": "a@10.0.0.1",
            "topologies": {"lan": {"strategy": "silent", "connector": Bare}},
        }
        why = fault(**keys, certs=certs)
        assert ": Bare doesn't use the certificates; " in why
        assert "or set 'insecure: true'" in why
        assert ": Bare doesn't use the secret" in fault(**keys, certs=certs, secret="s")

    def test_tcp_is_protected_by_certificates_or_a_secret(self, certs):
        connector = "cluster_kit.connectors.tcp:TcpConnector"
        topologies = {"lan": {"strategy": "silent", "connector": connector}}
        assert load(node="a@10.0.0.1", topologies=topologies, certs=certs)
        assert load(node="a@10.0.0.1", topologies=topologies, secret="s")

    def test_faulty_ones_are_the_only_fault(self):
        assert fault(node="a@10.0.0.1", certs="/none").startswith(
            "certs: cannot use '/none/tls.crt': there is no such file"
        )


class Unlinked(Listening):
    """Holds no links."""

    holds_links = False


class TestHintsThatNoLinkProves:
    def told(self, strategy, connector="tcp", **keys):
        topologies = {"lan": {"strategy": strategy, "connector": connector}}
        return list(
            advice(
                load(
                    node="a@10.0.0.1",
                    secret="7f" * 8 + "0123456789abcdef" * 2,
                    topologies=topologies,
                    **keys,
                )
            )
        )

    def test_forgeable_hints_are_warned_about(self):
        told = self.told(Hinting, Unlinked)
        assert any("topologies.lan: anybody on '10.0.0.1' can forge what " in each for each in told)

    def test_other_setups_are_not_warned_about(self):
        for told in (self.told(Hinting), self.told(Silent, Unlinked), self.told(Sealed, Unlinked)):
            assert not any("forge" in each for each in told)
        assert not any("forge" in each for each in self.told(Hinting, Unlinked, insecure=True))
