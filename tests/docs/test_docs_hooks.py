"""A hook that is undocumented, or documented with other arguments, fails here."""

import inspect
import re
from pathlib import Path

import pytest

from cluster_kit import hookspecs

PLUGINS_MD = Path(__file__).parents[2] / "docs" / "plugins.md"
HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if hasattr(function, f"{hookspecs.PROJECT}_spec")
}


def documented() -> dict[str, list[str]]:
    """Return each hook's arguments, from headings like ``### `cluster_kit_node_up(...)```."""
    headings = re.findall(
        r"^#+ `(cluster_kit_\w+)\(([^)]*)\)`$", PLUGINS_MD.read_text(), re.MULTILINE
    )
    return {name: re.findall(r"\w+", arguments) for name, arguments in headings}


def test_there_are_hooks():
    assert "cluster_kit_strategies" in HOOKS


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_documented_with_exactly_its_arguments(name):
    assert documented().get(name) == list(inspect.signature(HOOKS[name]).parameters)


def test_only_hooks_that_exist_are_documented():
    assert documented().keys() <= HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_hook_names_a_working_example(name):
    root = PLUGINS_MD.parents[1]
    examples = re.findall(r"Example:\s+``([\w/.-]+)``", inspect.getdoc(HOOKS[name]))
    assert examples
    assert all((root / example).exists() for example in examples)
