"""The functions, files and layers that the page on architecture names exist."""

import ast
import re

import pytest
from docs_pages import PAGES, ROOT
from test_layers import LAYERS

PAGE, PACKAGE = PAGES["docs/architecture.md"], ROOT / "cluster_kit"
ROW = r"^\| \d+ \| `([\w/.]+)` \| `(?:(\w+)\.)?(\w+)` \| (.*) \|$"
WAYS = [re.findall(ROW, "| 1 |" + table, re.MULTILINE) for table in PAGE.split("\n| 1 |")[1:]]
HEARTBEAT, MEMBERSHIP, MESSAGE = WAYS
HANDS_OVER = re.compile(r"\b(queues|yields|sends|passes them to its listener)\b")


def functions_of(file):
    """Return the functions of a module by class, or '', and name."""
    tree = ast.parse((PACKAGE / file).read_text())
    classes = {"": tree} | {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {
        (name, each.name): each
        for name, body in classes.items()
        for each in body.body
        if isinstance(each, kinds)
    }


@pytest.mark.parametrize(
    ("file", "owner", "function", "text"), [row for way in WAYS for row in way]
)
def test_step_names_a_function(file, owner, function, text):
    assert (owner, function) in functions_of(file)


@pytest.mark.parametrize("way", [HEARTBEAT, MEMBERSHIP], ids=["heartbeat", "membership"])
def test_each_step_calls_the_next_one_if_it_does_not_hand_over(way):
    for number, (_, _, function, text) in enumerate(way[1:], 1):
        caller = re.match(r"from row (\d+):", text)
        file, owner, name, before = way[int(caller[1]) - 1 if caller else number - 1]
        if caller or not HANDS_OVER.search(before):
            called = ast.unparse(functions_of(file)[owner, name])
            assert re.search(rf"\b{function}\(", called), f"{name} does not call {function}"


def test_rows_are_numbered():
    numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert numbers == [number for way in WAYS for number in range(1, len(way) + 1)]


def test_layers_are_those_that_are_enforced():
    rows = re.search(r"^\| layer \| what it has \|\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)[1]
    shown = [set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in rows.splitlines()]
    enforced = [set(row.replace("|", " ").split()) - {"_version"} for row in LAYERS]
    assert shown == enforced[::-1]


def test_files_that_it_names_are_there():
    named = {name for name in re.findall(r"`([\w/]+\.py)`", PAGE) if "/" in name}
    assert len(named) > 15
    assert not [name for name in named if not ((PACKAGE / name).exists() or (ROOT / name).exists())]
