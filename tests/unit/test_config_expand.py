"""``${NAME}`` in the text of a configuration."""

import re

import pytest

from cluster_kit.config.expand import expand

ENVIRON = {"HOST": "10.0.0.7", "EMPTY": "", "NESTED": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("web@${HOST}", "web@10.0.0.7"),
        ("${HOST}:${HOST}", "10.0.0.7:10.0.0.7"),
        ("${NOWHERE:-127.0.0.1}", "127.0.0.1"),
        ("${HOST:-127.0.0.1}", "10.0.0.7"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${NOWHERE:-}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST, $$, 5$", "$HOST, $$, 5$"),
        ("plain", "plain"),
        ("${NOWHERE-x}", "x"),
        ("${EMPTY-x}", ""),
        ("${HOST:+at }${HOST}", "at 10.0.0.7"),
        ("${EMPTY:+x}", ""),
        ("${EMPTY+x}", "x"),
        ("${NOWHERE+x}", ""),
        ("${HOST:?must be set}", "10.0.0.7"),
        ("${EMPTY?must be set}", ""),
        ("${NOWHERE:-${HOST:-y}}", "10.0.0.7"),
        ("${NOWHERE:-${EMPTY:-y}}", "y"),
        ("${NOWHERE:-a${HOST}b${EMPTY:-c}d}e", "a10.0.0.7bcde"),
        ("${HOST:-${NOWHERE}}", "10.0.0.7"),
        ("${HOST:-${NOWHERE:?no}}", "10.0.0.7"),
        ("${NOWHERE:+${NOWHERE}}", ""),
        ("${NOWHERE:-{x}}", "{x}"),
        ("${NOWHERE:-$${HOST}}", "${HOST}"),
        ("${HOST:-$${NOWHERE}}", "10.0.0.7"),
        ("$$${HOST}", "$${HOST}"),
        ("${NOWHERE:-:-?+}", ":-?+"),
        ("a } b", "a } b"),
    ],
)
def test_references_are_replaced_as_a_shell_would(text, expanded):
    assert expand(text, ENVIRON) == expanded


def test_value_of_a_variable_is_not_expanded_again():
    assert expand("${NESTED}", ENVIRON) == "${HOST}"


def test_unset_variable_without_default_is_refused():
    with pytest.raises(ValueError, match="'NOWHERE' is not set"):
        expand("a ${NOWHERE}", ENVIRON)


@pytest.mark.parametrize(
    "text",
    [
        "${}",
        "${",
        "${HOST",
        "${1A}",
        "${ HOST }",
        "${HOST:=x}",
        "${HOST:3}",
        "${HOST%x}",
        "${HOST/x/y}",
        "${#HOST}",
        "${!HOST}",
        "${HOST:-x",
        "${HOST:-${NOWHERE:-x}",
        "${HOST:-${NOWHERE:=x}}",
        "${HOST:-${}}",
    ],
)
def test_malformed_reference_is_refused(text):
    with pytest.raises(ValueError, match="malformed"):
        expand(text, ENVIRON)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOWHERE:?set it\nto ${HOST}}", "'NOWHERE': set it to 10.0.0.7"),
        ("${EMPTY:?}", "'EMPTY': is not set"),
        ("${NOWHERE:-${EMPTY:?no team}}", "'EMPTY': no team"),
    ],
)
def test_demanded_variable_is_missed_with_its_message(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        expand(text, ENVIRON)


def test_nesting_is_bounded():
    with pytest.raises(ValueError, match="within each other"):
        expand("${NOWHERE:-" * 10_000 + "}" * 10_000, ENVIRON)
