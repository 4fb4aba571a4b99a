"""List and watch: what to ask next, so that our copy of a collection stays current. Pure.

First the collection is listed, in pages; then it is watched from the version of that list. When a
watch ends, the next one continues from the last version received. If the server rejects that
version, as too old or unknown, the collection is listed again. So no change is missed, and no
object seems gone because a watch broke.

A server accepts a watch from a version that it has not reached, and sends nothing until it gets
there. That happens after its store is restored from a backup. So a watch never resumes on trust:

- A watch that ran its full time is renewed only after the server has confirmed that it has reached
  our version. The question names a single object, so the server looks up one key, whatever the size
  of the collection.
- After any other end, the collection is listed again, at least as new as our copy, which the
  server's cache can answer. The position proves nothing here: a restored store may have passed our
  version with another history. A server that restarts, as it must when its store is restored, ends
  its watches early, in good order or not, or asks for patience (429).
- After a few renewals in a row the collection is listed again as well. This bounds how long a
  restored store that did not end the watch can go unnoticed.

Source: Kubernetes API concepts, sections "Efficient detection of changes", "Resource versions" and
"Retrieving large results sets in chunks"; kubernetes/kubernetes issue 107457.
Differs: client-go resumes a broken watch from its last version without asking.
"""

from __future__ import annotations

from msgspec import Struct

from cluster_kit.retry import Backoff
from cluster_kit.strategies.kubernetes.api_errors import ApiError, ErrorKind
from cluster_kit.strategies.kubernetes.limits import LIMITS, Limits
from cluster_kit.strategies.kubernetes.resources import Params

PAGE = 500  # objects: what client-go and kubectl ask for at once
WATCH_S = (240, 290)  # tokens live for an hour; not all watchers should renew at once
RENEWALS = 2  # by position, from one list to the next: a list comes about every quarter of an hour
SHORT_S = 1.0  # a watch that ends sooner counts as failed, whatever it has sent
BACKOFF = Backoff(first_s=0.5, cap_s=10.0)  # a server that comes back must not be overrun
LONGEST_RETRY_AFTER_S = 120.0  # a server that asks for more gets another question after that
MAX_DIGITS = 20  # of a version: 64 bits
ONE_OBJECT = ("fieldSelector", "metadata.name=cluster-kit")  # it need not exist: the version counts


class Request(Struct, frozen=True, kw_only=True):
    """The next request.

    Attributes:
        watch: Whether to watch, or to list.
        params: Parameters of the query.
        delay_s: How long to wait before it.
        position: Whether it only asks if the server has reached our version.
        first: Whether it begins a list; pages of an earlier one are void.
        resumes: Whether it names a version that the server may not have.
        timeout_s: When the server is to end the watch.
    """

    watch: bool
    params: Params
    delay_s: float
    position: bool = False
    first: bool = False
    resumes: bool = True
    timeout_s: int = 0


class Reflector:
    """Decides what to ask next about one collection.

    Args:
        cached: List what the server has in its cache, which spares etcd and may be a little behind.
        poll_s: Seconds between lists where watching is forbidden.
    """

    def __init__(self, *, cached: bool, poll_s: float, limits: Limits = LIMITS) -> None:
        self._cached = cached
        self._poll_s = poll_s
        self._limits = limits
        self._exact = not cached  # whether to list from the store, not from the server's cache
        self._paged = True  # False after a page of the last list came too late
        self._version: str | None = None  # to watch from; None: list first
        self._newest = "0"
        self._confirmed = True  # that the server has reached the version to watch from
        self._timeout_s = 0  # of the last watch that was asked for
        self._renewals = 0  # by position, since the last list
        self._listed = ""  # the version of the list that is under way
        self._token = ""
        self._failures = 0
        self._barred = 0  # watches in a row
        self._polls = 0  # lists to come before watching is tried again
        self._least_s = 0.0  # to wait at least before the next request
        self._spread_s = 0.0  # of which a random half to all is waited on top of that

    @property
    def polling(self) -> bool:
        """Whether watching is forbidden, and not just by a server that has yet to load roles."""
        return self._barred > 1

    def next(self, jitter: float) -> Request:
        """Return what to ask now; ``jitter`` is from 0 to 1."""
        delay_s = self._least_s + self._spread_s * (1 + jitter) / 2
        self._least_s = self._spread_s = 0.0
        if self._version is None:
            return self._list(delay_s)
        if not self._confirmed:
            params: Params = (ONE_OBJECT, *self._not_older())
            return Request(watch=False, position=True, params=params, delay_s=delay_s)
        self._timeout_s = round(WATCH_S[0] + (WATCH_S[1] - WATCH_S[0]) * jitter)
        params = (
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(self._timeout_s)),
        )
        return Request(watch=True, params=params, delay_s=delay_s, timeout_s=self._timeout_s)

    def _list(self, delay_s: float) -> Request:
        if self._token:
            params: Params = (("limit", str(PAGE)), ("continue", self._token))
            return Request(watch=False, params=params, delay_s=delay_s)
        if not self._exact:
            return Request(watch=False, params=self._not_older(), delay_s=delay_s, first=True)
        params = (("limit", str(PAGE)),) if self._paged else ()
        return Request(watch=False, params=params, delay_s=delay_s, first=True, resumes=False)

    def _not_older(self) -> Params:
        """Return the parameters that ask for what the server's cache has.

        They set no limit: with one, servers treat the version as an exact one.
        """
        return (("resourceVersion", self._newest), ("resourceVersionMatch", "NotOlderThan"))

    def listed(self, version: str, token: str) -> bool:
        """Handle a page; return whether the list is complete."""
        self._listed = self._listed or version
        self._token = token
        if token:
            return False
        self._version, self._listed = self._listed, ""
        self._newest = self._version
        self._confirmed = True
        self._renewals = 0
        self._paged, self._exact = True, not self._cached
        self._polls = max(0, self._polls - 1)
        if self._polls:
            self._failures = 0
            self._poll()
        return True

    def located(self, version: str) -> None:
        """Handle the server's own version, the answer to whether it has reached ours.

        Raises:
            ApiError: The server is behind our version.
        """
        self._refuse_older(version)
        self._confirmed = True
        self._renewals += 1

    def heard(self, version: str, lasted_s: float) -> None:
        """Handle an object or a bookmark of this version, ``lasted_s`` into the watch.

        Raises:
            ApiError: Versions went back: this is another store than the one that was listed.
        """
        self._refuse_older(version)
        self._barred = 0
        if lasted_s >= SHORT_S:
            self._failures = 0
        if version:
            self._version = self._newest = version

    def ended(self, lasted_s: float, *, broken: bool = False) -> None:
        """Handle the end of a watch.

        Args:
            lasted_s: How long it ran.
            broken: Whether the connection broke before the time of the watch was over.
        """
        self._barred = 0
        self._confirmed = False
        early = broken or lasted_s < self._timeout_s - self._limits.early_s
        if early or self._renewals >= RENEWALS:
            self._list_again()
            self._exact = False
        if lasted_s >= SHORT_S:
            self._failures = 0
        else:
            self._step_back()

    def failed(self, error: ApiError) -> None:
        """Handle the failure of the last request."""
        resuming = self._version is not None
        if error.kind is ErrorKind.FORBIDDEN and resuming and self._confirmed:
            self._barred += 1
            polls = max(1, round(self._limits.watch_again_s / self._poll_s))
            self._polls = polls if self.polling else 1
            self._poll()
            return
        if error.kind is ErrorKind.EXPIRED:
            self._step_back()
            self._paged = not self._token  # it takes too long in pages
        else:
            self._failures += 1
            self._spread_s = BACKOFF.bound_s(self._failures - 1)
            self._least_s = min(error.retry_after_s, LONGEST_RETRY_AFTER_S)
        if error.kind is ErrorKind.THROTTLED and not resuming:
            return
        self._list_again()
        if error.kind not in (ErrorKind.UNREACHABLE, ErrorKind.THROTTLED):
            self._exact = True
        elif resuming:
            self._exact = False

    def _refuse_older(self, version: str) -> None:
        if _is_older(version, self._newest):
            what = f"the API server is at version {version} after it was at {self._newest}"
            raise ApiError(ErrorKind.EXPIRED, what)

    def _step_back(self) -> None:
        """Retry at once the first time, and after a growing delay from then on."""
        self._failures += 1
        if self._failures > 1:
            self._spread_s = BACKOFF.bound_s(self._failures - 2)

    def _poll(self) -> None:
        self._list_again()
        self._least_s = self._poll_s

    def _list_again(self) -> None:
        self._version = None
        self._token = self._listed = ""


def _is_older(version: str, other: str) -> bool:
    """Whether both are versions as etcd makes them, and ``version`` the lower one."""
    known = all(each.isdecimal() and len(each) <= MAX_DIGITS for each in (version, other))
    return known and int(version) < int(other)
