"""The parts of the package ``kubernetes`` that we use.

While it is imported it asks for the home directory, which fails for a user who has none: one
without HOME whose number is not in passwd, as in many containers. So one is set while the import
lasts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _some_home() -> Iterator[None]:
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"
        try:
            yield
        finally:
            del os.environ["HOME"]
    else:
        yield


with _some_home():
    from kubernetes.aio.client import ApiClient, Configuration
    from kubernetes.aio.client.rest import RESTResponse
    from kubernetes.aio.config import ConfigException, load_kube_config_from_dict

__all__ = [
    "ApiClient",
    "ConfigException",
    "Configuration",
    "RESTResponse",
    "load_kube_config_from_dict",
]
