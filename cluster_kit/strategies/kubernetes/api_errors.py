"""Classifies errors of the API server, and writes their messages. Pure.

Source: Kubernetes API conventions, section "Response Status Kind"; API concepts, "Resource
versions" and "Retrieving large results sets in chunks".
"""

from __future__ import annotations

import re
from enum import Enum, auto

from msgspec.json import decode

from cluster_kit.strategies.kubernetes.objects import UNREADABLE, Status
from cluster_kit.strategies.kubernetes.resources import Resource

MAX_TEXT = 400  # characters of a server's own words in a message of ours
ANONYMOUS = "system:anonymous"  # the user without credentials, who should have no rights

_USER = re.compile(r'User "([^"]*)"')
_SERVICE_ACCOUNT = re.compile(r"system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)")


class ErrorKind(Enum):
    """Kinds of failure, and what each asks for."""

    UNREACHABLE = auto()
    """The connection failed: list again."""
    THROTTLED = auto()
    """Come back later: a list goes on with the same page, a watch leads back to the list."""
    EXPIRED = auto()
    """Start over: the place to continue from is too old, as happens daily, or not reached yet."""
    UNAUTHORIZED = auto()
    """The server doesn't know us: present fresh credentials."""
    FORBIDDEN = auto()
    """The server knows us, and doesn't allow it."""
    MISSING = auto()
    """There is no such object: find out again what there is."""
    REFUSED = auto()
    """Anything else: start over."""


class ApiError(Exception):
    """The API server gave no answer, or not the one that was asked for.

    Attributes:
        kind: What to do about it.
        retry_after_s: How long the server wants to be left alone.
    """

    def __init__(self, kind: ErrorKind, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after_s = retry_after_s


NOT_REACHED = "ResourceVersionTooLarge"  # cause of a 504 by a server that is behind

_KINDS = {
    401: ErrorKind.UNAUTHORIZED,
    403: ErrorKind.FORBIDDEN,
    404: ErrorKind.MISSING,
    410: ErrorKind.EXPIRED,
    429: ErrorKind.THROTTLED,
}


def error_of(
    code: int | None, body: bytes, *, server: str, retry_after: str | None = None
) -> ApiError:
    """Return the error for an answer other than 200.

    Args:
        code: Status of the HTTP answer; in a watch, the ``Status`` itself has it.
        body: A ``Status``, unless something on the way has answered.
        server: The server, for the message.
        retry_after: The header of that name.
    """
    try:
        status = decode(body, type=Status)
    except UNREADABLE:
        status = Status(message=body[:MAX_TEXT].decode(errors="replace"))
    wait_s = float(retry_after) if retry_after and re.fullmatch(r"\d{1,9}", retry_after) else 0.0
    wait_s = max(wait_s, float(status.details.retry_after_seconds if status.details else 0))
    code = status.code if code is None else code
    causes = {cause.reason for cause in (status.details and status.details.causes) or ()}
    lost = status.reason == "Expired" or NOT_REACHED in causes
    kind = ErrorKind.EXPIRED if lost else _KINDS.get(code, ErrorKind.REFUSED)
    message = _message(kind, code, quoted(status.message), server)
    return ApiError(kind, message, retry_after_s=wait_s)


def _message(kind: ErrorKind, code: int, message: str, server: str) -> str:
    answer = f"{code} {message}".strip()
    match kind:
        case ErrorKind.FORBIDDEN:
            return message
        case ErrorKind.UNAUTHORIZED:
            cure = "give it a valid token or certificate"
            return f"{server} doesn't accept our credentials ({answer}): {cure}"
        case ErrorKind.THROTTLED:
            return f"{server} is too busy ({answer}): waiting as it asks"
    return f"{server} answered {code}: {message}"


def quoted(text: str) -> str:
    """Return a server's words, safe to show: one line, not too long, no control characters."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 3]}..."


def with_advice(error: ApiError, resource: Resource, namespace: str) -> ApiError:
    """Return a 403 with a message that says how to grant the right.

    Args:
        error: The error. Its text names the user, which no field of a ``Status`` does.
        resource: The resource that the strategy reads.
        namespace: The namespace.
    """
    user = _USER.search(str(error))
    if user is not None and user[1] == ANONYMOUS:
        why = "the server treats us as anonymous"
        cure = "give the kubeconfig's user a token or certificate"
        return ApiError(error.kind, f"{error}: {why}: {cure}")
    account = _SERVICE_ACCOUNT.fullmatch(user[1]) if user else None
    manifest = f"cluster-kit manifest kubernetes --namespace {namespace}"
    subject = f"--user='{user[1] if user else 'USER'}'"
    if account is not None:
        manifest += f" --service-account {account[2]}"
        subject = f"--serviceaccount={account[1]}:{account[2]}"
    manifest += " --pods" if resource.plural == "pods" else ""
    # a manifest is for pods in the namespace that they look at
    elsewhere = account is not None and account[1] != namespace
    apply = "" if elsewhere else f"apply the Role that '{manifest}' prints, or "
    return ApiError(
        error.kind,
        f"{error}: the verbs list and watch on {resource.name} in namespace {namespace!r} are "
        f"needed; {apply}run: kubectl create role cluster-kit -n {namespace} "
        f"--verb=get,list,watch --resource={resource.name} && kubectl create rolebinding "
        f"cluster-kit -n {namespace} --role=cluster-kit {subject}",
    )
