"""Imports are cheap: the package needs the standard library and pluggy, options no event loop."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cluster_kit

PACKAGE = Path(cluster_kit.__file__).parent
ALLOWED = {"cluster_kit", "pluggy"}

LOADED = """
import importlib, json, sys
before = set(sys.modules)
for module in sys.argv[1:]:
    importlib.import_module(module)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def modules_loaded_by(*modules: str) -> set[str]:
    """Return the modules that a fresh interpreter loads for others."""
    run = subprocess.run(
        [sys.executable, "-c", LOADED, *modules], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


def loaded_by(module: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter loads for a module."""
    return {name.partition(".")[0] for name in modules_loaded_by(module)}


def third_party(packages: set[str]) -> set[str]:
    return {
        name
        for name in packages
        if not name.startswith("__editable__") and name not in sys.stdlib_module_names
    }


def modules_with_options() -> list[str]:
    """Yield strategies, connectors and topologies: the application imports their options."""
    folders = [PACKAGE / part for part in ("strategies", "connectors", "topologies")]
    paths = [
        path
        for folder in folders
        for path in sorted(folder.glob("*"))
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    return [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in paths
        if path.stem != "__init__"
    ]


@pytest.mark.parametrize("module", ["cluster_kit", "cluster_kit.hookspecs"])
def test_package_loads_nothing_but_the_standard_library_and_pluggy(module):
    loaded = loaded_by(module)
    assert third_party(loaded) <= ALLOWED
    assert "asyncio" not in loaded


@pytest.mark.parametrize("module", modules_with_options())
def test_declaring_options_loads_no_event_loop(module):
    loaded = loaded_by(module)
    assert third_party(loaded) <= ALLOWED
    assert "asyncio" not in loaded


def test_testing_names_load_pytest_only_when_used():
    assert "pytest" not in loaded_by("cluster_kit.testing")


def test_worker_is_started_ahead_before_much_is_loaded():
    loaded = modules_loaded_by(
        "cluster_kit.cli.commands", "cluster_kit.cli.run", "cluster_kit.supervisor.child"
    )
    assert not loaded & {
        "cluster_kit.config.model",
        "cluster_kit.node",
        "cluster_kit.pipe.messages",
        "msgspec",
    }


def test_a_supervisor_loads_what_topics_take_with_the_first_of_them():
    program = (
        "import cluster_kit.supervisor.supervisor, json, sys; "
        "print(json.dumps(sorted(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(run.stdout))
    assert "cluster_kit.supervisor.topics.switchboard" in loaded
    assert not {name for name in loaded if name.startswith("cluster_kit.topics")}
    assert not loaded & {
        "cluster_kit.wire.topics",
        "cluster_kit.supervisor.topics.topic",
        "asyncio",
    }
