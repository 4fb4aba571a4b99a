"""Asks the API server: single requests, and watches whose lines are passed on as they arrive.

Credentials that are refused are read again and tried once more. No answer, or one other than 200,
is an ``ApiError``.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncGenerator
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
from msgspec.json import decode

from cluster_kit.strategies.kubernetes.access import Access, open_access
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind, error_of, quoted
from cluster_kit.strategies.kubernetes.limits import LIMITS, Limits
from cluster_kit.strategies.kubernetes.objects import UNREADABLE, ApiGroup
from cluster_kit.strategies.kubernetes.options import KubernetesOptions
from cluster_kit.strategies.kubernetes.package import RESTResponse
from cluster_kit.strategies.kubernetes.proxy import PROXY_URL
from cluster_kit.strategies.kubernetes.resources import (
    ENDPOINTS,
    PODS,
    SLICE_GROUP,
    SLICE_VERSIONS,
    SLICES,
    Params,
    Resource,
)

Document = TypeVar("Document")

BODY_S = 60.0  # until an answer is complete
OVERTIME_S = 15.0  # how much longer a watch may take than we asked for
MAX_BODY_BYTES = 128 * 2**20  # ten thousand usual pods are smaller
MAX_LINE_BYTES = 8 * 2**20  # of a watch: etcd accepts objects of 1.5 MiB, so no event is as long

_KEEP_IDLE: int = getattr(socket, "TCP_KEEPIDLE", 0) or getattr(socket, "TCP_KEEPALIVE", 0)  # macOS
_KEEP_ALIVE = (  # a server that is gone without a word is noticed in half a minute
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, _KEEP_IDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
_CUT = (aiohttp.ClientError, OSError, TimeoutError)


class WatchBrokenError(Exception):
    """The connection of a watch broke, or nothing came for too long."""


class Client:
    """Asks on behalf of one run of the strategy, until ``close``."""

    def __init__(self, options: KubernetesOptions, limits: Limits = LIMITS) -> None:
        self.options = options
        self._limits = limits
        self._access: Access | None = None

    async def access(self) -> Access:
        """Return the access to the server; raises ``ApiError``."""
        if self._access is None:
            self._access = await open_access(self.options, os.environ)
        return self._access

    @property
    def server(self) -> str:
        """The server, for messages."""
        return self._access.server if self._access else "API server"

    async def namespace(self) -> str:
        """Return the namespace to look in; raises ``ApiError``."""
        return self.options.namespace or (await self.access()).namespace

    async def resource(self) -> Resource:
        """Return the resource to read, in the newest version that the server has.

        Raises:
            ApiError: The server doesn't say which it has.
        """
        if self.options.ip_lookup_mode == "pods":
            return PODS
        try:
            group = await self.read(f"/apis/{SLICE_GROUP}", ApiGroup)
        except ApiError as error:
            if error.kind is ErrorKind.MISSING:
                return ENDPOINTS
            if error.kind is ErrorKind.FORBIDDEN:  # unusual; listing will show whether it works
                return SLICES[SLICE_VERSIONS[0]]
            raise
        offered = {each.version for each in group.versions}
        slices = [SLICES[version] for version in SLICE_VERSIONS if version in offered]
        return slices[0] if slices else ENDPOINTS

    def unreadable(self, exc: Exception) -> ApiError:
        """Return the error for an answer that can't be decoded."""
        what = f"{self.server} sent an unreadable answer: {quoted(str(exc))}"
        return ApiError(ErrorKind.REFUSED, what)

    async def read(self, path: str, kind: type[Document], params: Params = ()) -> Document:
        """Return the answer as a value of ``kind``.

        Raises:
            ApiError: There is none, it is not 200, or it can't be read.
        """
        response = await self._ask(path, params, aiohttp.ClientTimeout(total=BODY_S))
        try:
            return decode(await _body(response, self.server), type=kind)
        except UNREADABLE as exc:
            raise self.unreadable(exc) from exc
        finally:
            response.response.release()

    async def watch(
        self, path: str, params: Params, timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        """Yield an empty batch once the watch has begun, then lines in batches, as they arrive.

        Ends when the server ends it. Raises as ``read``, and ``WatchBrokenError``.
        """
        waits = aiohttp.ClientTimeout(total=timeout_s + OVERTIME_S, sock_read=self._limits.silent_s)
        response = await self._ask(path, params, waits)
        try:
            _keep_alive(response)
            yield []
            lines = LineSplitter()
            async for data in response.response.content.iter_any():
                yield lines.feed(data)
        except _CUT as exc:
            raise WatchBrokenError from exc
        except ValueError as exc:
            raise self.unreadable(exc) from exc
        finally:
            response.response.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._access is not None:
            access, self._access = self._access, None
            await access.api.close()  # type: ignore[no-untyped-call]

    async def _ask(self, path: str, params: Params, waits: aiohttp.ClientTimeout) -> RESTResponse:
        """Return an answer of status 200 whose body is still to be read."""
        response = await self._try(path, params, waits)
        if response.status == 401:
            response.response.close()
            await self.close()
            response = await self._try(path, params, waits)
        if response.status == 200:
            return response
        try:
            body = await _body(response, self.server)
        finally:
            response.response.close()
        retry_after = response.headers.get("Retry-After")
        raise error_of(response.status, body, server=self.server, retry_after=retry_after)

    async def _try(self, path: str, params: Params, waits: aiohttp.ClientTimeout) -> RESTResponse:
        access = await self.access()
        request = await access.api.param_serialize(
            "GET",
            path,
            query_params=list(params),
            header_params={"Accept": "application/json", "Accept-Encoding": "identity"},
            auth_settings=["BearerToken"],
        )
        try:
            async with asyncio.timeout(self._limits.answer_s):
                answering = access.api.call_api(*request, _request_timeout=waits)
                response: RESTResponse = await answering
        except TimeoutError as exc:
            # REFUSED, since what holds back a watch on the way may let lists through
            hint = "is the address right, and no network policy in between?"
            text = f"{access.server}: no answer within {self._limits.answer_s:g} s: {hint}"
            raise ApiError(ErrorKind.REFUSED, text) from exc
        except _CUT as exc:
            if isinstance(exc, aiohttp.ClientSSLError):
                await self.close()  # the CA may have been replaced: read it again
            text = f"{access.server}: {_cause(exc, access)}"
            raise ApiError(ErrorKind.UNREACHABLE, text) from exc
        except ValueError as exc:  # aiohttp refuses to send what can't be a token
            text = f"{access.server} can't be asked: {quoted(str(exc))}; look at the token"
            raise ApiError(ErrorKind.UNREACHABLE, text) from exc
        oddity = _oddity(response)
        if oddity is not None:
            response.response.close()
            raise ApiError(ErrorKind.REFUSED, f"{access.server} {oddity}")
        return response


def _oddity(response: RESTResponse) -> str | None:
    """Return why an answer can't be that of an API server, as in 'it ...'."""
    if response.response.history:
        other = quoted(str(response.response.url.origin()))
        return f"redirects to {other}: give the address of the API server itself"
    if response.headers.get("Content-Encoding", "identity") != "identity":  # it may unpack to GBs
        return "compresses its answer without being asked to: is there a proxy in between?"
    return None


async def _body(response: RESTResponse, server: str) -> bytes:
    parts, size = [], 0
    try:
        async for part in response.response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_BODY_BYTES:
                what = f"{server} answered with more than {MAX_BODY_BYTES} bytes"
                raise ApiError(ErrorKind.REFUSED, what)
    except _CUT as exc:
        what = f"{server}: its answer broke off: {quoted(str(exc)) or type(exc).__name__}"
        raise ApiError(ErrorKind.UNREACHABLE, what) from exc
    return b"".join(parts)


def _keep_alive(response: RESTResponse) -> None:
    connection = response.response.connection
    transport = connection.transport if connection else None
    sock = transport.get_extra_info("socket") if transport else None
    if sock is not None:
        for level, option, value in _KEEP_ALIVE:
            sock.setsockopt(level, option, value)


def _cause(exc: BaseException, access: Access) -> str:
    """Return why the connection failed."""
    if isinstance(exc, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return _cause_of_proxy(exc, access)
    proxy_host = access.proxy.host if access.proxy else None
    if isinstance(exc, aiohttp.ClientConnectorError) and exc.host == proxy_host:
        # the proxy's name does not resolve; aiohttp has no error of its own for that
        return _cause_of_proxy(exc, access)
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        why = quoted(str(exc.certificate_error))
        return f"its certificate can't be verified ({why}): is the CA that of this server?"
    if isinstance(exc, aiohttp.ClientSSLError):
        why = quoted(str(exc.os_error))
        return f"TLS fails ({why}): is it an https server, and is this its address?"
    return f"{_words(exc)}: is it up, and is this its address?"


def _cause_of_proxy(
    exc: aiohttp.ClientHttpProxyError | aiohttp.ClientConnectorError, access: Access
) -> str:
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        said = f"answers {exc.status} {quoted(exc.message)}".rstrip()
    else:
        said = f"can't be reached ({_words(exc)})"
    if access.proxy and access.proxy.origin == PROXY_URL:
        return f"the proxy {said}: correct proxy-url, or remove it"
    host = urlsplit(access.api.configuration.host).hostname
    cure = f"if the API server can be reached without it, add {host} to NO_PROXY"
    return f"the proxy {said}: {cure}"


def _words(exc: BaseException) -> str:
    """Return the system's words for a failure, without the addresses that libraries add."""
    cause = getattr(exc, "os_error", exc)
    number = getattr(cause, "errno", None) or 0
    text = os.strerror(number) if number > 0 else getattr(cause, "strerror", None) or str(cause)
    return quoted(text.lower()) or type(exc).__name__


class LineSplitter:
    """Bytes in, whole lines out; an unfinished line waits for more, and is lost at the end."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes.

        Raises:
            ValueError: A line is too long.
        """
        head, *rest = data.split(b"\n")
        lines = []
        if rest:
            lines = [b"".join([*self._parts, head]), *rest[:-1]]
            self._parts, self._size, head = [], 0, rest[-1]
        self._parts.append(head)
        self._size += len(head)
        if self._size > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
        return [line for line in lines if line.strip()]
