"""The range of a number, declared once: in a configuration, in code, and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import pytest

from cluster_kit import ConfigError
from cluster_kit.config.bounds import Bounds, Port, bounds_of, faults_of_bounds, without_bounds
from cluster_kit.config.document import Document
from cluster_kit.config.options import construct, read_options

FINE = Bounds(gt=0, le=1, cure="write a fraction")


@dataclass
class Options:
    """Declares bounds, and checks nothing itself."""

    port: Port | None = None
    share: Annotated[float, FINE] = 0.5
    service: Port | str = "http"
    wait_s: Annotated[float, Bounds(ge=1)] = 1.0
    ports: tuple[Port, ...] = ()


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        (Bounds(ge=1, le=65535), "1 to 65535"),
        (Bounds(ge=0.05, le=86_400.0), "0.05 to 86400"),
        (Bounds(gt=0), "more than 0"),
        (Bounds(ge=2), "at least 2"),
        (FINE, "more than 0 and at most 1"),
    ],
)
def test_bounds_are_written_out(bounds, text):
    assert str(bounds) == text


@pytest.mark.parametrize(
    ("number", "admitted"), [(0, False), (0.001, True), (1, True), (1.01, False), (math.nan, False)]
)
def test_ends_belong_to_the_range_or_not(number, admitted):
    assert FINE.admit(number) is admitted


def test_instance_that_code_makes_is_checked():
    faults = list(faults_of_bounds(Options(port=0, share=2, service=70_000, wait_s=0.5)))
    assert [str(fault) for fault in faults] == [
        "port: invalid value 0: expected 1 to 65535",
        "share: invalid value 2: expected more than 0 and at most 1; write a fraction",
        "service: invalid value 70000: expected 1 to 65535",
        "wait_s: invalid value 0.5: expected at least 1 seconds",
    ]
    assert not list(faults_of_bounds(Options(service="name")))


def test_configuration_is_checked_even_if_the_class_does_not():
    given = {"port": 0, "share": 2, "ports": [1, 0]}
    part = Document(data={"config": given}).root.by_key()["config"]
    with pytest.raises(ConfigError) as caught:
        read_options(part, Options)
    assert [error.path for error in caught.value.errors] == ["config.ports[1]"]
    del given["ports"]
    with pytest.raises(ConfigError) as caught:
        construct(part, Options, read_options(part, Options))
    assert [error.path for error in caught.value.errors] == ["config.port", "config.share"]


def test_types_are_known_without_their_bounds():
    assert bounds_of(Port | None) == Bounds(ge=1, le=65535)
    assert bounds_of(tuple[Port, ...]) is None
    assert without_bounds(Port | None) == int | None
    assert without_bounds(tuple[Port, ...]) == tuple[Port, ...]
