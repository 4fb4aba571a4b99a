"""How to reach the API server: its address, the CA to trust, and our credentials.

In a pod these come from its service account, elsewhere from a kubeconfig. They are read again for
each client, so that rotated ones are found. The server's certificate is always verified: a setting
that would switch that off is an error.
"""

from __future__ import annotations

import base64
import os
import secrets
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml

from cluster_kit.host import ip_of, is_loopback
from cluster_kit.node import join_address
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind
from cluster_kit.strategies.kubernetes.exec_plugin import ask_plugin
from cluster_kit.strategies.kubernetes.options import KubernetesOptions
from cluster_kit.strategies.kubernetes.package import (
    ApiClient,
    ConfigException,
    Configuration,
    load_kube_config_from_dict,
)
from cluster_kit.strategies.kubernetes.proxy import Proxy, proxy_for

DEFAULT_NAMESPACE = "default"
USUAL_KUBECONFIG = "~/.kube/config"

_NO_HOME = "this user has no home directory: HOME is not set, and its number is not in passwd"
_MOUNT = "mount the service account's token, or set kubeconfig"
# what a kubeconfig of another shape raises
_MISSHAPEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
_UNUSABLE = (ConfigException, OSError, yaml.YAMLError, *_MISSHAPEN)
_FILES = {
    "clusters": ("certificate-authority",),
    "users": ("client-certificate", "client-key", "tokenFile"),
}


class Access(NamedTuple):
    """A client that is ready to ask.

    Attributes:
        api: The client; the caller closes it.
        namespace: The namespace to look in, unless the options name one.
        origin: The source of these settings, for messages.
        proxy: The proxy between us and the server.
    """

    api: ApiClient
    namespace: str
    origin: str
    proxy: Proxy | None

    @property
    def server(self) -> str:
        """The server, and the way there, for messages."""
        through = f" through {self.proxy}" if self.proxy else ""
        return f"API server {self.api.configuration.host}{through}"


async def open_access(options: KubernetesOptions, environ: Mapping[str, str]) -> Access:
    """Make a client.

    Raises:
        ApiError: Something that is needed is missing, or can't be used.
    """
    kubeconfig = _named(options)
    if kubeconfig is None and not options.master and "KUBERNETES_SERVICE_HOST" not in environ:
        kubeconfig = _usual_kubeconfig(environ)
        if kubeconfig is None:
            raise _no_server(environ)
    if kubeconfig is None:
        return _in_cluster(options, environ)
    return await _by_kubeconfig(kubeconfig, options, environ)


def _no_server(environ: Mapping[str, str]) -> ApiError:
    places = environ.get("KUBECONFIG") or USUAL_KUBECONFIG
    homeless = "" if places != USUAL_KUBECONFIG or _home() else f" ({_NO_HOME})"
    no_pod = "this is not a pod (KUBERNETES_SERVICE_HOST is not set)"
    cure = "set kubeconfig, or KUBECONFIG in the environment"
    return _unusable(f"no API server to ask: {no_pod}, and there is no {places}{homeless}; {cure}")


# -- a pod's service account -----------------------------------------------------------------------


def _in_cluster(options: KubernetesOptions, environ: Mapping[str, str]) -> Access:
    folder = options.service_account_path
    host = _master(options, environ) if options.master else _service(environ)
    configuration = Configuration(host=host, ssl_ca_cert=str(folder / "ca.crt"))
    _read(folder / "ca.crt", "CA certificate")

    def refresh(fresh: Configuration) -> None:
        fresh.api_key["BearerToken"] = f"Bearer {_read(folder / 'token', 'token')}"

    refresh(configuration)
    # called for every request, so a token that the kubelet has rotated is used at once
    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    named = folder / "namespace"
    namespace = _read(named, "namespace") if _is_there(named) else DEFAULT_NAMESPACE
    proxy = _proxy(configuration, environ)
    client = _client(configuration, f"the CA certificate '{folder / 'ca.crt'}'")
    return Access(client, namespace, f"service account in {folder}", proxy)


def _service(environ: Mapping[str, str]) -> str:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _master(options: KubernetesOptions, environ: Mapping[str, str]) -> str:
    """Return the URL of ``master``; a name is completed as libcluster does."""
    master = options.master or ""
    if master.startswith("https://"):
        return master.rstrip("/")
    domain = options.domain(environ)
    final = ip_of(master) is not None or master.endswith((".", domain))
    return f"https://{join_address(master if final else f'{master}.{domain}', 443)}"


def _read(path: Path, what: str) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise _unusable(f"cannot read the {what} '{path}': {_reason(exc)}; {_MOUNT}") from exc
    if not text:
        raise _unusable(f"the {what} '{path}' is empty: {_MOUNT}")
    return text


def _named(options: KubernetesOptions) -> Path | None:
    """Return the absolute path of the kubeconfig that the options name, if they do.

    Raises:
        ApiError: Its place is unknown.
    """
    named = options.kubeconfig
    if named is None:
        return None
    try:
        return named.expanduser().absolute()
    except (RuntimeError, OSError) as exc:
        cause = "there is no such user"
        if isinstance(exc, OSError):
            cause = "the current directory is gone"
        elif named.parts[0] == "~":
            cause = _NO_HOME
        what = f"cannot use the kubeconfig '{named}': {cause}"
        raise _unusable(f"{what}; give its whole path") from exc


def _home() -> Path | None:
    """Return the home directory, which a user in a container may lack."""
    try:
        return Path.home()
    except RuntimeError:
        return None


# -- a kubeconfig ----------------------------------------------------------------------------------


def _usual_kubeconfig(environ: Mapping[str, str]) -> Path | None:
    """Return the file that ``kubectl`` takes; of several, the first that exists."""
    named = environ.get("KUBECONFIG")
    home = _home()
    at_home = [home / USUAL_KUBECONFIG.removeprefix("~/")] if home else []
    usual = [Path(path) for path in named.split(os.pathsep) if path] if named else at_home
    return next((path for path in usual if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that we may not enter: reading it gives the reason
        return True


async def _by_kubeconfig(
    path: Path, options: KubernetesOptions, environ: Mapping[str, str]
) -> Access:
    configuration = Configuration()
    try:
        with _KeyFiles(path) as keys:
            config = _load(path, keys)
            _refuse_unknown(options.context, config)
            await _authenticate(_user_of(config, options.context), path.parent, keys)
            loader = await load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                config, options.context, configuration
            )
            _refuse_unverified(configuration, path)
            if options.master:
                configuration.host = _master(options, environ)
            context = loader.current_context
            proxy = _proxy(configuration, environ)
            access = Access(
                _client(configuration, f"the certificates of the kubeconfig '{path}'"),
                context["context"].get("namespace") or DEFAULT_NAMESPACE,
                f"kubeconfig {path}, context {context['name']!r}",
                proxy,
            )
    except _UNUSABLE as exc:
        cure = f"try it with: kubectl --kubeconfig '{path}' get pods"
        raise _unusable(f"cannot use the kubeconfig '{path}': {_reason(exc)}; {cure}") from exc
    return access


class _KeyFiles(ExitStack):
    """Files of certificates and keys, which exist within the block: ``ssl`` reads nothing else.

    Their folder is made for the first of them: most kubeconfigs in a container have none, and no
    folder to write to either.
    """

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__()
        self._kubeconfig = kubeconfig
        self._folder: Path | None = None

    def write(self, data: bytes) -> str:
        """Return the path of a new file with ``data``.

        Raises:
            ApiError: There is no folder to write in.
        """
        try:
            if self._folder is None:
                self._folder = Path(self.enter_context(TemporaryDirectory(prefix="cluster-kit-")))
            file = self._folder / secrets.token_hex()
            file.write_bytes(data)
        except OSError as exc:
            what = f"cannot use the kubeconfig '{self._kubeconfig}'"
            cause = f"there is no folder to write keys to ({_reason(exc)})"
            raise _unusable(f"{what}: {cause}; set TMPDIR") from exc
        return str(file)


def _load(path: Path, keys: _KeyFiles) -> dict[str, Any]:
    """Return the configuration with absolute paths, and with embedded data written to files.

    The package ``kubernetes`` would write it to files that outlive a worker.
    """
    config = yaml.safe_load(path.read_text())
    if not isinstance(config, dict):
        raise ValueError("expected a mapping")
    for kind, names in _FILES.items():
        for entry in config.get(kind) or ():
            part = entry.get(kind.removesuffix("s")) or {}
            for name in names:
                data = part.pop(f"{name}-data", None)
                if data:
                    part[name] = keys.write(base64.b64decode(data))
                elif part.get(name):
                    part[name] = str(path.parent.absolute() / part[name])
    return config


def _user_of(config: dict[str, Any], context: str | None) -> dict[str, Any]:
    """Return the entry of the user of ``context``; empty where the kubeconfig is incomplete."""
    users = {entry["name"]: entry.get("user") or {} for entry in config.get("users") or ()}
    contexts = {entry["name"]: entry.get("context") or {} for entry in config.get("contexts") or ()}
    chosen = contexts.get(context or config.get("current-context"), {})
    user: dict[str, Any] = users.get(chosen.get("user"), {})
    return user


async def _authenticate(user: dict[str, Any], folder: Path, keys: _KeyFiles) -> None:
    """Give ``user`` the credentials of its plugin, if it has one; ``keys`` holds certificates."""
    if "exec" not in user:
        return
    given = await ask_plugin(user.pop("exec"), folder)
    if given.token:
        user["token"] = given.token
    if given.client_certificate_data and given.client_key_data:
        user["client-certificate"] = keys.write(given.client_certificate_data.encode())
        user["client-key"] = keys.write(given.client_key_data.encode())


def _refuse_unknown(context: str | None, config: dict[str, Any]) -> None:
    names = [entry["name"] for entry in config.get("contexts") or ()]
    if context is not None and context not in names:
        there = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"it has no context {context!r}, only {there}")


def _refuse_unverified(configuration: Configuration, path: Path) -> None:
    url, fault = urlsplit(configuration.host), None
    if url.username is not None:
        fault = "has credentials in the address of its server: put them into its users"
    elif not configuration.verify_ssl:
        fault = (
            "sets insecure-skip-tls-verify: the server's certificate is always verified; "
            "put its CA into certificate-authority-data instead"
        )
    elif url.scheme != "https" and not is_loopback(url.hostname or ""):
        fault = f"names the server {configuration.host!r}: expected https://"
    if fault is not None:
        raise _unusable(f"the kubeconfig '{path}' {fault}")


def _unusable(message: str) -> ApiError:
    return ApiError(ErrorKind.UNREACHABLE, message)


def _reason(exc: Exception) -> str:
    if isinstance(exc, OSError) and exc.strerror and not isinstance(exc, ssl.SSLError):
        return exc.strerror.lower()
    if isinstance(exc, yaml.MarkedYAMLError):  # its text quotes the line, which may hold a token
        where = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        return f"{where}{exc.problem or 'not YAML'}"
    return " ".join(str(exc).split()) or type(exc).__name__


def _proxy(configuration: Configuration, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy to use, and keep the libraries from looking for one."""
    try:
        proxy = proxy_for(configuration.host, environ, configuration.proxy)
    except ValueError as exc:
        raise _unusable(str(exc)) from exc
    configuration.proxy = proxy.url if proxy else None
    # aiohttp would look for one, but knows neither networks nor ports in NO_PROXY
    configuration.client_session_kwargs = {"trust_env": False}
    return proxy


def _client(configuration: Configuration, certificates: str) -> ApiClient:
    """Return a client with its TLS context; messages call its certificates ``certificates``."""
    # certificates are verified all the same; "strict" would refuse CAs without a key identifier
    configuration.disable_strict_ssl_verification = True
    try:
        return ApiClient(configuration)
    except OSError as exc:  # ssl.SSLError is one
        cure = "use the certificates that the cluster's administrator provides"
        raise _unusable(f"cannot use {certificates}: {_reason(exc)}; {cure}") from exc
