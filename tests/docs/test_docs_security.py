"""The page on security is true as far as that can be told: the tests that it names are there, and its example is one."""

import re
from pathlib import Path

import pytest

from cluster_kit.security.keys import derive

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:unit|property|integration|simulation)/\w+\.py)(?:::(\w+))?`", PAGE)))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_named_test_is_there(file, name):
    assert re.search(rf"^ *(async )?def {name or 'test_'}", (TESTS / file).read_text(), re.MULTILINE)


def test_all_that_look_like_tests_are_looked_at():
    assert len({*re.findall(r"test_\w+\.py(?:::\w+)?", PAGE)}) == len(NAMED) > 40


def test_example_of_a_secret():
    [(secret, cluster, id_)] = re.findall(r"The secret `([^`]+)` in the cluster `([^`]+)` has the id `([^`]+)`", PAGE)
    assert derive(secret, cluster).id.hex() == id_
