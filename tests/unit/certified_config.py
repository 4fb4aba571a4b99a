"""Configurations with certificates, for tests: what is loaded, and what is wrong with it."""

import pytest
from config_parts import Shelf
from made_up_certificates import Authority

from cluster_kit import ConfigError
from cluster_kit.config import load_config

AUTHORITY = Authority("one")


def load(**keys):
    return load_config({"topologies": {"lan": {"strategy": "silent"}}, **keys}, Shelf(), environ={})


def fault(**keys):
    with pytest.raises(ConfigError) as raised:
        load(**keys)
    [error] = raised.value.errors
    return str(error)
