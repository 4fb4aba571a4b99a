"""No input breaks a decoder's promises: random, mutated or kept."""

from random import Random

import pytest
from fuzz_target import mutated
from fuzz_targets import TARGETS, kept
from hypothesis import given, note, settings
from hypothesis import strategies as st

each_target = pytest.mark.parametrize("name", TARGETS)

randoms = st.integers(0, 2**32 - 1).map(Random)


@each_target
def test_some_seeds_are_understood(name):
    assert any(map(TARGETS[name].check, TARGETS[name].seeds))


@each_target
def test_promises_hold_for_kept_inputs(name):
    for path in kept(TARGETS[name]):
        TARGETS[name].check(path.read_bytes())


@each_target
def test_promises_hold_for_truncated_inputs(name):
    for seed in TARGETS[name].seeds:
        for length in range(0, len(seed), 1 + len(seed) // 40):
            TARGETS[name].check(seed[:length])


@each_target
def test_promises_hold_for_deeply_nested_inputs(name):
    target = TARGETS[name]
    head = target.seeds[0][: target.form.head_bytes] if target.form else b""
    for piece in (b"[", b'{"a":', b"\x91", b"\xdc\xff\xff"):
        target.check((head + piece * target.max_bytes)[: target.max_bytes])


@each_target
@settings(max_examples=20, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes_hold(name, data):
    TARGETS[name].check(data)


@each_target
@settings(max_examples=50, deadline=None)
@given(number=st.integers(0, 10_000), random=randoms)
def test_changed_inputs_hold(name, number, random):
    target = TARGETS[name]
    inputs = [*target.seeds, *(path.read_bytes() for path in kept(target))]
    data = mutated(target, inputs[number % len(inputs)], random)
    note(f"{name}: {data!r}")
    target.check(data)
