"""How strategy ``kubernetes`` reaches the API server: certificates, tokens and their errors."""

import asyncio
import gzip
import json
import tempfile

import pytest
from kubernetes_api import SLICES, TOKEN, USER, KubernetesApi
from kubernetes_objects import endpoint_slice
from kubernetes_stage import encoded, failed, found, issued, listening, secured_api
from made_up_certificates import Authority

from cluster_kit.abc import Found
from cluster_kit.node import Node
from cluster_kit.strategies.kubernetes import KubernetesStrategy
from cluster_kit.strategies.kubernetes.limits import Limits
from cluster_kit.testing.fakes import FakeDiscovery
from cluster_kit.testing.listener import Listener


@pytest.fixture(scope="module")
def authority():
    return Authority("kubernetes", bare=True)


@pytest.fixture
def api(authority, tmp_path):
    return secured_api(authority, tmp_path)


@pytest.fixture
def account(authority, tmp_path):
    """Return the folder of a service account."""
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(authority.pem)
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "namespace").write_text("default")
    return folder


def run(api, scenario, **options):
    """Run a scenario with the server and a listening strategy; options may depend on the server."""

    async def main():
        await api.put(SLICES, endpoint_slice("s", "10.0.0.1"))
        async with asyncio.timeout(60), api.serving():
            given = {name: value() if callable(value) else value for name, value in options.items()}
            strategy = KubernetesStrategy(service_name="web", **given)
            async with Listener(strategy, FakeDiscovery(Node(name="me@10.0.0.9"))) as heard:
                await scenario(heard)

    asyncio.run(main())


@pytest.fixture
def in_pod(monkeypatch, account, api):
    """Return options as they are in a pod, with the environment that it has."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")

    def set_port():
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
        return account

    return {"service_account_path": set_port}


class TestServiceAccount:
    def test_a_pod_needs_no_more_than_its_account(self, api, in_pod):
        async def scenario(heard):
            await found(heard)
            assert {each.token for each in api.asked} == {TOKEN}

        run(api, scenario, **in_pod)

    def test_a_master_takes_the_place_of_the_environment(self, api, account):
        run(api, found, service_account_path=account, master=lambda: api.url)

    def test_a_rotated_token_is_used_with_the_next_request(self, api, account, in_pod):
        async def scenario(heard):
            await api.until_watched()
            api.tokens = {"second-token": USER}
            (account / "token").write_text("second-token")
            await api.watches[0].end()
            await api.until_watched(2)
            await found(heard)

        run(api, scenario, **in_pod)

    def test_a_ca_that_is_replaced_is_used_once_the_old_one_is_of_no_use(
        self, api, account, authority, in_pod
    ):
        (account / "ca.crt").write_bytes(Authority("kubernetes", bare=True).pem)

        async def scenario(heard):
            await failed("certificate can't be verified")(heard)
            (account / "ca.crt").write_bytes(authority.pem)
            await found(heard, since=len(heard.observations))

        run(api, scenario, **in_pod)

    @pytest.mark.parametrize("file", ["ca.crt", "token"])
    def test_a_missing_file_is_a_failure(self, api, account, in_pod, file):
        (account / file).unlink()
        run(
            api,
            failed(
                f"{account / file}': no such file or directory; mount the service account's token"
            ),
            **in_pod,
        )

    def test_an_empty_ca_is_a_failure(self, api, account, in_pod):
        (account / "ca.crt").write_text("")
        run(api, failed("is empty"), **in_pod)

    def test_a_ca_that_is_none_is_a_failure(self, api, account, in_pod):
        (account / "ca.crt").write_text("no certificate")
        run(api, failed("cannot use the CA certificate '"), **in_pod)

    def test_the_certificate_is_verified(self, api, account, in_pod):
        (account / "ca.crt").write_bytes(Authority("kubernetes", bare=True).pem)

        async def scenario(heard):
            await failed("certificate can't be verified")(heard)
            assert not api.asked

        run(api, scenario, **in_pod)

    def test_the_host_is_verified(self, api, account, monkeypatch):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
        run(
            api,
            failed("certificate can't be verified"),
            service_account_path=account,
            master=lambda: f"https://localhost:{api.port}",
        )

    def test_a_missing_token_is_found_once_it_is_there(self, api, account, in_pod):
        (account / "token").unlink()

        async def scenario(heard):
            await failed("token': no such file")(heard)
            (account / "token").write_text(TOKEN)
            await heard.until(lambda each: isinstance(each, Found), "to find somebody")

        run(api, scenario, **in_pod)

    def test_a_token_that_is_refused_is_a_failure(self, api, in_pod):
        api.tokens = {}
        run(api, failed("doesn't accept our credentials (401 Unauthorized)"), **in_pod)


def with_plugin(api, authority, folder):
    """Return a function that writes a kubeconfig whose plugin prints ``credential``."""
    plugin = {
        "command": "cat",
        "args": [str(folder / "credential")],
        "apiVersion": "client.authentication.k8s.io/v1",
    }
    data = {"certificate-authority-data": encoded(authority.pem)}
    return lambda: api.kubeconfig(folder / "kubeconfig", user={"exec": plugin}, **data)


class TestKubeconfig:
    def test_a_refused_token_is_read_anew_and_tried_once_more(self, api, authority, tmp_path):
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "ca.crt").write_bytes(authority.pem)

        def kubeconfig():
            return api.kubeconfig(
                tmp_path / "kubeconfig",
                user={"tokenFile": "token"},
                **{"certificate-authority": "ca.crt"},
            )  # relative to the file

        async def scenario(heard):
            await api.until_watched()
            api.tokens = {"second-token": USER}
            (tmp_path / "token").write_text("second-token")
            await api.watches[0].end()
            await api.until_watched(2)
            assert [each.answered for each in api.asked[-3:]] == [401, 200, 200]
            await found(heard)

        run(api, scenario, kubeconfig=kubeconfig)

    def test_client_certificate_authenticates_and_leaves_no_file(
        self, api, authority, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        api.certificates = {"jane": "jane"}
        certificate, key = issued(authority, "jane")
        user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}

        def kubeconfig():
            data = {"certificate-authority-data": encoded(authority.pem)}
            return api.kubeconfig(tmp_path / "kubeconfig", user=user, **data)

        async def scenario(heard):
            await found(heard)
            assert {each.token for each in api.asked} == {None}
            assert list((tmp_path / "tmp").iterdir()) == []

        run(api, scenario, kubeconfig=kubeconfig)

    def test_certificate_of_a_credential_plugin_authenticates_and_leaves_no_file(
        self, api, authority, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        (tmp_path / "tmp").mkdir()
        api.certificates = {"jane": "jane"}
        certificate, key = issued(authority, "jane")
        status = {"clientCertificateData": certificate.decode(), "clientKeyData": key.decode()}
        (tmp_path / "credential").write_text(json.dumps({"status": status}))

        async def scenario(heard):
            await found(heard)
            assert {each.token for each in api.asked} == {None}
            assert list((tmp_path / "tmp").iterdir()) == []

        run(api, scenario, kubeconfig=with_plugin(api, authority, tmp_path))

    def test_without_keys_in_it_no_folder_for_temporary_files_is_needed(
        self, api, authority, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        (tmp_path / "ca.crt").write_bytes(authority.pem)
        ca = {"certificate-authority": "ca.crt"}
        run(api, found, kubeconfig=lambda: api.kubeconfig(tmp_path / "kubeconfig", **ca))

    def test_keys_that_cannot_be_written_are_reported_with_the_cure(
        self, api, authority, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        data = {"certificate-authority-data": encoded(authority.pem)}
        told = "there is no folder to write keys to (no such file or directory); set TMPDIR"
        run(api, failed(told), kubeconfig=lambda: api.kubeconfig(tmp_path / "kubeconfig", **data))

    def test_a_credential_plugin_is_asked_again_when_its_token_is_refused(
        self, api, authority, tmp_path
    ):
        (tmp_path / "credential").write_text(json.dumps({"status": {"token": TOKEN}}))

        async def scenario(heard):
            await api.until_watched()
            api.tokens = {"second-token": USER}
            (tmp_path / "credential").write_text(json.dumps({"status": {"token": "second-token"}}))
            await api.watches[0].end()
            await api.until_watched(2)
            assert [each.answered for each in api.asked[-3:]] == [401, 200, 200]
            await found(heard)

        run(api, scenario, kubeconfig=with_plugin(api, authority, tmp_path))

    def test_without_verification_it_is_refused(self, api, tmp_path):
        def kubeconfig():
            return api.kubeconfig(tmp_path / "kubeconfig", **{"insecure-skip-tls-verify": True})

        run(
            api,
            failed("sets insecure-skip-tls-verify: the server's certificate is always verified"),
            kubeconfig=kubeconfig,
        )

    def test_the_context_has_the_namespace(self, api, authority, tmp_path):
        data = {"certificate-authority-data": encoded(authority.pem)}

        async def scenario(heard):
            await api.until_watched()
            assert "/namespaces/shop/" in api.watched[0].path

        run(
            api,
            scenario,
            kubeconfig=lambda: api.kubeconfig(tmp_path / "kubeconfig", namespace="shop", **data),
        )

    def test_a_proxy_on_this_host_needs_no_certificate(self, tmp_path):
        api = KubernetesApi()
        run(api, found, kubeconfig=lambda: api.kubeconfig(tmp_path / "kubeconfig"))

    def test_kubectl_and_we_take_the_same_file(self, tmp_path, monkeypatch):
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'none'}:{tmp_path / 'kubeconfig'}")
        api = KubernetesApi()
        run(api, found, service_account_path=lambda: api.kubeconfig(tmp_path / "kubeconfig").parent)

    def test_no_way_at_all_is_a_failure(self, tmp_path, monkeypatch):
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
        run(KubernetesApi(), failed("no API server to ask: this is not a pod"))

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (None, "no such file or directory"),
            ("{", "line 1: expected the node content"),
            ("3", "expected a mapping"),
            ("[" * 5000, "maximum recursion depth exceeded"),
            ("{}", "current-context"),
            ("current-context: x\ncontexts: []\n", "Expected"),
        ],
    )
    def test_a_file_that_is_of_no_use_is_a_failure(self, tmp_path, text, told):
        path = tmp_path / "kubeconfig"
        if text is not None:
            path.write_text(text)
        run(KubernetesApi(), failed(told), kubeconfig=path)

    def test_a_file_that_is_no_yaml_is_reported_by_its_line_without_its_content(self, tmp_path):
        path = tmp_path / "kubeconfig"
        path.write_text("users:\n- user:\n    token: hush: hush\n")
        told = (
            f"cannot use the kubeconfig '{path}': line 3: mapping values are not allowed here; try "
            "it with"
        )
        run(KubernetesApi(), failed(told), kubeconfig=path)

    def test_credentials_in_the_address_are_refused(self, tmp_path):
        api = KubernetesApi()

        def kubeconfig():
            return api.kubeconfig(tmp_path / "kubeconfig", server="https://jane:hush@10.0.0.1:6443")

        run(
            api,
            failed("has credentials in the address of its server: put them into its users"),
            kubeconfig=kubeconfig,
        )

    def test_a_token_that_can_t_be_sent_is_a_failure(self, tmp_path):
        api = KubernetesApi()

        def kubeconfig():
            return api.kubeconfig(tmp_path / "kubeconfig", token="two\nlines")

        run(api, failed("look at the token"), kubeconfig=kubeconfig)

    def test_a_context_that_is_not_there_is_a_failure(self, tmp_path):
        api = KubernetesApi()
        run(
            api,
            failed("production"),
            kubeconfig=lambda: api.kubeconfig(tmp_path / "kubeconfig"),
            context="production",
        )

    def test_a_token_goes_nowhere_in_the_clear(self, tmp_path):
        api = KubernetesApi()

        def kubeconfig():
            return api.kubeconfig(tmp_path / "kubeconfig", server="http://10.0.0.1:8080")

        run(
            api,
            failed("names the server 'http://10.0.0.1:8080': expected https://"),
            kubeconfig=kubeconfig,
        )


def test_a_server_that_does_not_answer_is_a_failure(tmp_path):
    api = KubernetesApi()

    async def main():
        async def say_nothing(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        api.port = server.sockets[0].getsockname()[1]
        limits = Limits(answer_s=0.5)
        async with asyncio.timeout(60), server, listening(api, tmp_path, limits=limits) as heard:
            await failed("no answer within 0.5 s: is the address right")(heard)

    asyncio.run(main())


def test_a_server_that_sends_us_to_another_is_a_failure(tmp_path):
    other = KubernetesApi()
    answer = "HTTP/1.1 302 Found\r\nLocation: {}/apis/discovery.k8s.io\r\nContent-Length: 0\r\n\r\n"

    async def main():
        async def send_on(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer.format(other.url).encode())
            await writer.drain()
            writer.close()

        await other.put(SLICES, endpoint_slice("s", "10.0.0.1"))
        server = await asyncio.start_server(send_on, "127.0.0.1", 0)
        async with asyncio.timeout(60), other.serving(), server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            kubeconfig = other.kubeconfig(tmp_path / "kubeconfig", server=url)
            strategy = KubernetesStrategy(service_name="web", kubeconfig=kubeconfig)
            async with Listener(strategy, FakeDiscovery(Node(name="me@10.0.0.9"))) as heard:
                await failed(
                    f"{url} redirects to {other.url}: give the address of the API server itself"
                )(heard)
        assert {each.token for each in other.asked} == {None}

    asyncio.run(main())


def test_an_answer_that_may_unpack_to_any_size_is_refused(tmp_path):
    packed = gzip.compress(b'{"versions": []}')
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    heads = []

    async def main():
        async def pack(reader, writer):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(head.encode() + packed)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(pack, "127.0.0.1", 0)
        async with asyncio.timeout(60), server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            kubeconfig = KubernetesApi().kubeconfig(tmp_path / "kubeconfig", server=url)
            strategy = KubernetesStrategy(service_name="web", kubeconfig=kubeconfig)
            async with Listener(strategy, FakeDiscovery(Node(name="me@10.0.0.9"))) as heard:
                await failed(f"{url} compresses its answer without being asked to")(heard)
        assert b"accept-encoding: identity\r\n" in heads[0].lower()

    asyncio.run(main())


def test_a_name_that_does_not_resolve_is_a_failure(account):
    run(
        KubernetesApi(),
        failed(
            "API server https://nobody.invalid.:443: name or service not known",
            # there is no name server
            "API server https://nobody.invalid.:443: temporary failure in name resolution",
        ),
        service_account_path=account,
        master="nobody.invalid.",
    )
