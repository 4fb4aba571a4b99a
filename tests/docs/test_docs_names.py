"""Every event, reason, error, observation and environment switch has its place in the docs.

A name counts only in the table for its kind: words such as `name`, `left` and `failed` are all over
the pages.
"""

import inspect
import re

import pytest
from docs_pages import PAGES, ROOT

from cluster_kit import abc, errors, events


def rows(page: str, *heads: str) -> list[list[str]]:
    """Return the cells of the table of a page whose columns have these heads."""
    head = re.escape("| " + " | ".join(heads) + " |")
    [table] = re.findall(rf"^{head}\n\|[-|]+\n((?:\|.*\n)+)", PAGES[page], re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split(" |")] for row in table.splitlines()]


def first(page: str, *heads: str) -> list[str]:
    return [cells[0] for cells in rows(page, *heads)]


def classes(module: object, root: type) -> list[type]:
    found = (value for value in vars(module).values() if inspect.isclass(value))
    return [value for value in found if issubclass(value, root) and value is not root]


def call(cls: type, *inherited: str) -> str:
    """Return how a table shows a class: as a call with its fields."""
    fields = [name for name in cls.__dataclass_fields__ if name not in inherited]
    return f"`{cls.__name__}({', '.join(fields)})`"


def test_events():
    inherited = events.Event.__dataclass_fields__
    known = [call(event, *inherited) for event in classes(events, events.Event)]
    assert sorted(first("docs/events.md", "event", "meaning")) == sorted(known)


def test_observations():
    known = [call(observation) for observation in abc.Observation.__args__]
    assert first("docs/plugins.md", "observation", "meaning") == known


def test_errors():
    known = [f"`{error.__name__}`" for error in classes(errors, errors.ClusterKitError)]
    assert sorted(first("docs/events.md", "error", "when", "attributes")) == sorted(known)


def test_reasons():
    assert first("docs/events.md", "reason", "meaning") == [
        f"`{reason}`" for reason in events.Reason
    ]


def test_reasons_of_connect_errors():
    table = rows("docs/events.md", "reason", "meaning", "tends to pass")
    assert {reason: passes.startswith("yes") for reason, _, passes in table} == {
        f"`{reason}`": errors.ConnectError("", reason=reason).retryable
        for reason in errors.ConnectReason
    }


def switches() -> list[str]:
    source = "\n".join(path.read_text() for path in (ROOT / "cluster_kit").rglob("*.py"))
    return sorted(set(re.findall(r"\"(CLUSTER_KIT_[A-Z_]+)\"", source)))


@pytest.mark.parametrize("name", switches())
def test_environment_variable_is_documented(name):
    assert any(re.search(rf"\b{name}\b", text) for text in PAGES.values())
