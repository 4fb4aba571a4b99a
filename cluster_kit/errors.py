"""Every exception that cluster_kit raises, on one page.

A message is one line: what failed, the offending value, the cause or what was expected, and what to
do. Programs decide by type and attributes, never by the message. All errors can be pickled, as they
pass from a worker to the application.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any, Self

from cluster_kit.fault import Fault, format_path


class ClusterKitError(Exception):
    """The root of all errors of this package.

    Attributes:
        retryable: Whether the same attempt may succeed later, although nobody changes anything.
    """

    retryable: bool = False

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    cls: type[ClusterKitError], args: tuple[Any, ...], state: dict[str, Any]
) -> ClusterKitError:
    """Recreate an error in another process without calling its own ``__init__``."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(ClusterKitError, ValueError):
    """A configuration cannot be used; the user must change it.

    Attributes:
        path: Key path, such as ``topologies.lan.config.port``; empty for the whole document.
        file: The YAML file; ``None`` if the configuration was a dict.
        line: Line in ``file``, from 1.
        column: Column in ``line``, from 1.
        fault: What is wrong, as a value; if there are several faults, the first one.
    """

    def __init__(
        self,
        message: str | Fault,
        *,
        path: str = "",
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        if isinstance(message, Fault):
            fault, text = message, str(message)
        else:
            fault = Fault((path,) if path else (), message)
            text = f"{path}: {message}" if path else message
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__(f"{place}: {text}" if place else text)
        self.path = path or format_path(fault.where)
        self.file = file
        self.line = line
        self.column = column
        self.fault = fault
        self._parts: tuple[ConfigError, ...] = ()

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """One error per fault; this error itself if there is only one."""
        return self._parts or (self,)

    @property
    def missing(self) -> bool:
        """Whether a required value was left out."""
        return self.fault.missing

    @classmethod
    def gather(cls, errors: Sequence[ConfigError]) -> Self | ConfigError:
        """Return one error for all of ``errors``, which must not be empty."""
        if len(errors) == 1:
            return errors[0]
        whole = cls("\n".join(str(error) for error in errors))
        whole.file = errors[0].file
        whole.fault = errors[0].fault
        whole._parts = tuple(errors)
        return whole


def faults_of(check: Callable[..., object], *arguments: object) -> Iterator[Fault]:
    """Yield the faults for which ``check`` raises ``ConfigError``."""
    try:
        check(*arguments)
    except ConfigError as exc:
        yield from (error.fault for error in exc.errors)


def raise_all(faults: Iterable[Fault]) -> None:
    """Raise one ``ConfigError`` for all ``faults``, if there are any."""
    errors = [ConfigError(fault) for fault in faults]
    if errors:
        raise ConfigError.gather(errors)


class PluginError(ClusterKitError):
    """A plugin is missing, broken, or clashes with another.

    Attributes:
        plugin: Entry point or component name.
        distribution: Name and version of the distribution that ships it, where known.
    """

    def __init__(self, message: str, *, plugin: str, distribution: str | None = None) -> None:
        super().__init__(message)
        self.plugin = plugin
        self.distribution = distribution


class NetworkFault(StrEnum):
    """Why a network operation failed; a closed list."""

    REFUSED = "refused"
    """Nobody listens at the address."""
    RESET = "reset"
    """The other end, or something in between, broke the connection."""
    TIMEOUT = "timeout"
    """No answer within the system's time limit."""
    UNREACHABLE = "unreachable"
    """No route leads to the address."""
    NO_SUCH_NAME = "no such name"
    """The host name has no address, or it can't be looked up."""
    IN_USE = "in use"
    """Another program uses the port exclusively."""
    FORBIDDEN = "forbidden"
    """No permission: a privileged port, a firewall, or no broadcast address."""
    NOT_OURS = "not ours"
    """No interface of this machine has the address."""
    DOWN = "down"
    """The interface is down or gone."""
    UNSUPPORTED = "unsupported"
    """This machine doesn't support the protocol, such as IPv6."""
    EXHAUSTED = "exhausted"
    """The process or the machine has run out of descriptors or memory."""
    FAILED = "failed"
    """Anything else; see the message."""


class NetworkError(ClusterKitError):
    """A network operation failed; the message is the system's.

    Attributes:
        fault: What went wrong, from a closed list.
    """

    retryable = True

    def __init__(self, message: str, *, fault: NetworkFault) -> None:
        super().__init__(message)
        self.fault = fault


class DiscoveryError(ClusterKitError):
    """A source of nodes could not answer; the nodes it found before stay known.

    Strategies raise it, and their look-up is repeated with a growing delay.

    Attributes:
        strategy: Name of the strategy; ``None`` if unknown.
    """

    retryable = True

    def __init__(
        self, message: str, *, strategy: str | None = None, retryable: bool = True
    ) -> None:
        super().__init__(message)
        self.strategy = strategy
        self.retryable = retryable


class ConnectReason(StrEnum):
    """Why a link could not be opened; a closed list."""

    REFUSED = "refused"
    """Nobody listens at the address."""
    TIMEOUT = "timeout"
    """No answer within the deadline."""
    RESET = "reset"
    """The connection broke during the handshake."""
    UNREACHABLE = "unreachable"
    """No route, or the host name does not resolve."""
    NAME = "name"
    """A node of another name answered."""
    AUTH = "auth"
    """The peer failed to prove that it belongs to the cluster, or we did."""
    FOREIGN = "foreign"
    """The peer belongs to another cluster or group."""
    SELF = "self"
    """The connection leads back to this node."""
    CONFLICT = "conflict"
    """A live process already uses our name."""
    CROSSED = "crossed"
    """Another link to the peer, or its own dial to us, takes precedence."""
    LEAVING = "leaving"
    """The peer is about to stop and takes no new links."""
    FULL = "full"
    """The peer has reached its limit of links."""
    PROTOCOL = "protocol"
    """The peer does not speak our protocol."""
    IGNORED = "ignored"
    """The application doesn't want a link to this node."""
    FAILED = "failed"
    """Anything else; see the message."""


IGNORED = ConnectReason.IGNORED
"""What a callback returns for a node that it doesn't want to link to; ``"ignored"`` works, too."""

_FINAL_REASONS = (
    ConnectReason.NAME,
    ConnectReason.FOREIGN,
    ConnectReason.SELF,
    ConnectReason.PROTOCOL,
    ConnectReason.IGNORED,
)


class ConnectError(ClusterKitError):
    """A link to a node could not be opened; connectors raise it.

    Attributes:
        node: Name or address of the peer.
        reason: What went wrong, from a closed list.
        retryable: Whether the fault tends to pass; by default this follows from ``reason``. Dials
            are repeated in any case, but only rarely if it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        node: str | None = None,
        reason: ConnectReason = ConnectReason.FAILED,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.node = node
        self.reason = reason
        self.retryable = reason not in _FINAL_REASONS if retryable is None else retryable


class NameConflict(ConnectError):  # noqa: N818 - the name is part of the published contract
    """Another live process uses this node's name: rename one of the two, or stop it."""

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message, node=node, reason=ConnectReason.CONFLICT)


def name_taken(name: str) -> str:
    """Return the message about two live processes that use one name."""
    where = "by 'node' in its configuration or by 'cluster-kit run --name'"
    cure = f"give each process a unique name, {where}"
    return f"name conflict: two live processes use the name {name!r}: {cure}"


class ProtocolError(ClusterKitError):
    """One end of a connection broke the protocol; the subclass says which."""


class LocalProtocolError(ProtocolError):
    """This end was about to break the protocol: a bug in cluster_kit or in a plugin."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol; its link is closed, and no other."""


class UntrustedError(RemoteProtocolError):
    """One end of a link failed to prove to the other that it belongs to the cluster.

    Attributes:
        cure: What to do about it.
    """

    def __init__(self, message: str, *, cure: str = "give both nodes the same secret") -> None:
        super().__init__(message)
        self.cure = cure


class RestartLimitError(ClusterKitError):
    """A topology with ``escalate: true`` failed too often; ``Supervisor.join`` raises it.

    Attributes:
        topology: Name of the topology.
        restarts: How many restarts are allowed within ``period_s``.
        period_s: The period, in seconds.
    """

    def __init__(self, message: str, *, topology: str, restarts: int, period_s: float) -> None:
        super().__init__(message)
        self.topology = topology
        self.restarts = restarts
        self.period_s = period_s


class CommandError(ClusterKitError):
    """``Supervisor.call`` failed: no such command, no answer in time, or the command raised."""


class NotSentError(ClusterKitError):
    """A message was certainly not delivered, or a question not acted on: retrying is safe.

    Attributes:
        node: Name of the receiver.
    """

    retryable = True

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class NotLinkedError(NotSentError):
    """There is no link to the receiver, or only to another run of it."""


class UnansweredError(ClusterKitError):
    """A question was sent and not answered; the receiver may or may not have acted on it.

    Attributes:
        node: Name of the receiver.
    """

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class RemoteError(ClusterKitError):
    """The function that answers the question raised; the message has its type and text.

    Attributes:
        node: Name of the receiver.
    """

    def __init__(self, message: str, *, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class WaitTimeoutError(ClusterKitError, TimeoutError):
    """``wait_for`` or ``once`` ran out of time; see their ``timeout_s``."""

    retryable = True


class VirtualTimeError(ClusterKitError):
    """A run in virtual time (``cluster_kit.testing``) is stuck, or left an unhandled exception."""


class DeadlockError(VirtualTimeError):
    """In virtual time, no task can ever go on; the message lists what they wait for."""


class LeakError(VirtualTimeError):
    """Code in virtual time used the real world: a socket, a thread, a signal."""


def text_of(exc: BaseException) -> str:
    """Return the text of an exception of foreign code, even if its ``__str__`` fails."""
    try:
        return str.__str__(str(exc))
    except BaseException as broken:  # noqa: BLE001 - foreign code runs while a failure is reported
        return f"(str() failed: {type(broken).__name__})"


def cause_of(error: OSError) -> str:
    """Return the system's text for a failure, without the details that asyncio adds to it."""
    import socket

    if isinstance(error, socket.gaierror) or not error.errno:  # its error numbers aren't errno's
        return (error.strerror or str(error)).lower()
    return os.strerror(error.errno).lower()


def described(exc: BaseException) -> str:
    """Return type and text of an exception of foreign code; see ``text_of``."""
    text = text_of(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
