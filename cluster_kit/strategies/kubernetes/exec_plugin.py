"""Runs credential plugins: programs named in a kubeconfig that print a token or a certificate.

The package ``kubernetes`` could run them, but it would wait without end, leave the program behind
when it is cancelled, and continue without credentials if it fails.

Source: Kubernetes documentation, "Authenticating", section "client-go credential plugins".
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct, field

from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind, quoted
from cluster_kit.strategies.kubernetes.objects import UNREADABLE

PLUGIN_S = 30.0  # some ask a cloud over the network
END_S = 1.0  # to read its last output once it is killed
MAX_OUTPUT_BYTES = 2**20


class Variable(Struct):
    """An environment variable for the plugin."""

    name: str
    value: str


class Plugin(Struct):
    """``exec`` of a user in a kubeconfig."""

    command: str
    version: str = field(name="apiVersion")
    args: list[str] | None = None
    env: list[Variable] | None = None
    hint: str | None = field(name="installHint", default=None)


class Credentials(Struct, rename="camel"):
    """What a plugin prints: a token, or a certificate and its key as PEM, or both."""

    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class ExecCredential(Struct):
    """The envelope of what a plugin prints."""

    status: Credentials


async def ask_plugin(entry: object, folder: Path, within_s: float = PLUGIN_S) -> Credentials:
    """Run the plugin of ``entry`` in a kubeconfig in ``folder``.

    Raises:
        ApiError: It gives no credentials.
    """
    try:
        plugin = msgspec.convert(entry, Plugin)
    except UNREADABLE as exc:
        raise _failed("exec", str(exc)) from exc
    code, output, errors = await _run(plugin, folder, within_s)
    if code != 0:
        why = f"it exited with code {code}: {errors or 'no error output'}"
        raise _failed(plugin.command, why)
    try:
        given = msgspec.json.decode(output, type=ExecCredential).status
    except UNREADABLE as exc:
        raise _failed(plugin.command, f"its output is not an ExecCredential: {exc}") from exc
    if not (given.token or (given.client_certificate_data and given.client_key_data)):
        raise _failed(plugin.command, "it prints neither a token nor a certificate with its key")
    return given


async def _run(plugin: Plugin, folder: Path, within_s: float) -> tuple[int, bytes, str]:
    """Return the exit code, the output and the text on standard error; leave no process."""
    command = str(folder / plugin.command) if os.sep in plugin.command else plugin.command
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *plugin.args or (),
            env=_environment(plugin),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        hint = f"; {quoted(plugin.hint)}" if plugin.hint else ""
        why = getattr(exc, "strerror", None) or exc
        raise _failed(plugin.command, f"it can't be started: {why}{hint}") from exc
    try:
        async with asyncio.timeout(within_s):
            output, errors = await asyncio.gather(_read(process.stdout), _read(process.stderr))
            code = await process.wait()
    except TimeoutError as exc:
        raise _failed(plugin.command, f"it does not end within {within_s:g} s") from exc
    finally:
        await _end(process)
    return code, output, quoted(errors.decode(errors="replace"))


def _environment(plugin: Plugin) -> Mapping[str, str]:
    asked = {"apiVersion": plugin.version, "kind": "ExecCredential", "spec": {"interactive": False}}
    own = {variable.name: variable.value for variable in plugin.env or ()}
    return os.environ | own | {"KUBERNETES_EXEC_INFO": msgspec.json.encode(asked).decode()}


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    """Return the whole stream, or as much as there is room for."""
    kept = bytearray()
    while stream is not None and (part := await stream.read(65536)):
        kept += part[: MAX_OUTPUT_BYTES - len(kept)]
    return bytes(kept)


async def _end(process: Process) -> None:
    """Kill what is left of it and its children, and drain its pipes, which closes them."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(END_S):
            await asyncio.gather(_read(process.stdout), _read(process.stderr))
    await process.wait()


def _failed(command: str, why: str) -> ApiError:
    what = f"the kubeconfig's credential plugin {command[:200]!r} failed: {quoted(why)}"
    cure = "run it by hand, or ask whoever provided the kubeconfig"
    return ApiError(ErrorKind.UNREACHABLE, f"{what}; {cure}")
