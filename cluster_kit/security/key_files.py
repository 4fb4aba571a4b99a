"""Short-lived files that nobody else can read, since ``ssl`` takes keys from files only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_OWN_FILES = "/proc/self/fd"


@contextmanager
def as_file(data: bytes) -> Iterator[str]:
    """Yield the path of a file that holds ``data``.

    The file is in memory if the system supports that; otherwise it is a temporary one that only
    this user can read.
    """
    if hasattr(os, "memfd_create") and os.access(_OWN_FILES, os.X_OK):
        with os.fdopen(os.memfd_create("cluster_kit"), "wb") as file:
            file.write(data)
            file.flush()
            yield f"{_OWN_FILES}/{file.fileno()}"
        return
    import tempfile  # imported here: it is heavy, and few systems need it

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name
