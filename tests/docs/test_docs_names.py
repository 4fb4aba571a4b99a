"""Every event, reason, error, observation and environment switch has its place in the docs."""

import inspect
import re
from pathlib import Path

import pytest

from cluster_kit import abc, errors, events

ROOT = Path(__file__).parents[2]
DOCS = "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))


def classes(module: object, root: type) -> list[str]:
    return [name for name, value in vars(module).items() if inspect.isclass(value) and issubclass(value, root)]


def documented(name: str) -> bool:
    """Whether some page shows ``name`` as code, alone or with its fields in parentheses."""
    return re.search(rf"`{re.escape(name)}(\([^`]*\))?`", DOCS) is not None


NAMES = [
    *classes(events, events.Event),
    *classes(errors, errors.ClusterKitError),
    *[observation.__name__ for observation in abc.Observation.__args__],
    *[reason.value for reason in events.Reason],
    *[reason.value for reason in errors.ConnectReason],
]


@pytest.mark.parametrize("name", NAMES)
def test_name_is_documented(name):
    assert documented(name)


@pytest.mark.parametrize("name", classes(events, events.Event))
def test_event_is_documented_with_exactly_its_fields(name):
    own = [field for field in vars(events)[name].__dataclass_fields__ if field not in events.Event.__dataclass_fields__]
    if name != "Event":
        assert f"`{name}({', '.join(own)})`" in DOCS


def switches() -> list[str]:
    source = "\n".join(path.read_text() for path in (ROOT / "cluster_kit").rglob("*.py"))
    return sorted(set(re.findall(r"\"(CLUSTER_KIT_[A-Z_]+)\"", source)))


@pytest.mark.parametrize("name", switches())
def test_environment_variable_is_documented(name):
    text = DOCS + (ROOT / "README.md").read_text()
    assert re.search(rf"\b{name}\b", text)
