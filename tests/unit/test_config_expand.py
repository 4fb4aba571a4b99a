"""``${NAME}`` in the text of a configuration."""

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
    ],
)
def test_references_are_replaced_as_a_shell_would(text, expanded):
    assert expand(text, ENVIRON) == expanded


def test_what_a_variable_holds_is_not_expanded_again():
    assert expand("${NESTED}", ENVIRON) == "${HOST}"


def test_unset_variable_without_default_is_refused():
    with pytest.raises(ValueError, match="'NOWHERE' is not set"):
        expand("a ${NOWHERE}", ENVIRON)


@pytest.mark.parametrize("text", ["${}", "${HOST", "${1A}", "${HOST-x}", "${HOST:?no}", "${ HOST }"])
def test_malformed_reference_is_refused(text):
    with pytest.raises(ValueError, match="malformed"):
        expand(text, ENVIRON)
