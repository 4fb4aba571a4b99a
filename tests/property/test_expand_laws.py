"""References expand as in a POSIX shell; anything not understood is refused."""

import subprocess
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.config.expand import expand

NAMES = ("A", "B", "C")

literals = st.text("ab:-?+./{ 0", max_size=6)
names = st.sampled_from(NAMES)
operators = st.sampled_from([":-", "-", ":?", "?", ":+", "+"])
words = st.recursive(
    literals | st.builds("${{{}}}".format, names),
    lambda inner: (
        st.builds("${{{}{}{}}}".format, names, operators, inner)
        | st.lists(inner, min_size=2, max_size=3).map("".join)
    ),
    max_leaves=6,
)
environs = st.dictionaries(names, st.sampled_from(["", "x", "y z"]))


def by_shell(text, environ):
    """Return what a shell makes of ``text``, or ``None`` where it refuses."""
    done = subprocess.run(
        ["sh", "-uc", f'printf %s "{text}"'],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout if done.returncode == 0 else None


@settings(max_examples=300, deadline=None)
@given(words, environs)
def test_a_shell_agrees(text, environ):
    try:
        expanded = expand(text, environ)
    except ValueError:
        expanded = None
    assert expanded == by_shell(text, environ)


@given(st.text("${}AB:-?+=#% ", max_size=20), environs)
def test_no_reference_is_left_as_text(text, environ):
    with suppress(ValueError):
        if "$${" not in text:
            assert "${" not in expand(text, environ)


@given(words, environs, st.sampled_from(["${", "${A", "${A:=x}", "${A:-${B:=x}}", "${1}", "${A:-"]))
def test_malformed_reference_is_refused_wherever_it_stands(before, environ, malformed):
    with pytest.raises(ValueError, match=r"environment variable|malformed|within"):
        expand(before + malformed, environ)
