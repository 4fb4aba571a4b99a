"""The functions, files and layers that the page on architecture names exist."""

import ast
import re

import pytest
from docs_pages import PAGES, ROOT
from test_layers import LAYERS

PAGE, PACKAGE = PAGES["docs/architecture.md"], ROOT / "cluster_kit"
STEPS = re.findall(r"^\| \d+ \| `([\w/.]+)` \| `(?:(\w+)\.)?(\w+)` \|", PAGE, re.MULTILINE)


def functions_of(file):
    """Return the functions of a module, each with its class or ''."""
    tree = ast.parse((PACKAGE / file).read_text())
    classes = {"": tree} | {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {
        (name, each.name)
        for name, body in classes.items()
        for each in body.body
        if isinstance(each, kinds)
    }


@pytest.mark.parametrize(("file", "owner", "function"), STEPS)
def test_step_names_a_function(file, owner, function):
    assert (owner, function) in functions_of(file)


def test_each_way_has_at_most_ten_steps():
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert numbers == [*range(1, 11), *range(1, 11)]
    assert len(STEPS) == len(numbers)


def test_layers_are_those_that_are_enforced():
    rows = re.search(r"^\| layer \| what it has \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    shown = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in rows.splitlines()]
    enforced = [set(row.replace("|", " ").split()) - {"_version"} for row in LAYERS]
    assert shown == enforced[::-1]


def test_files_that_it_names_are_there():
    named = {name for name in re.findall(r"`([\w/]+\.py)`", PAGE) if "/" in name}
    assert len(named) > 15
    assert not [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())]
