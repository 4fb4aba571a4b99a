"""The tutorial of docs/plugins.md ends in a strategy that passes its tests and is found."""

import os
import subprocess
import sys

import pytest
from docs_pages import texts

PAGE = "docs/plugins.md"

FILES = {  # by what the block contains that no other does
    "class InventoryStrategy": "cluster_kit_acme/inventory.py",
    "def cluster_kit_strategies": "cluster_kit_acme/hooks.py",
    "class TestInventory": "tests/test_inventory.py",
}


@pytest.fixture
def folder(tmp_path):
    blocks = texts(PAGE, "python")
    for mark, name in FILES.items():
        [block] = [block for block in blocks if mark in block]
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(block)
    [metadata] = texts(PAGE, "toml")
    entry_points = (
        metadata[metadata.index("[project.entry-points") :]
        .replace("project.entry-points.", "")
        .replace('"', "")
    )
    info = tmp_path / "cluster_kit_acme-0.1.0.dist-info"  # what an installation would leave
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cluster-kit-acme\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(entry_points)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_strategy_of_the_tutorial_passes_its_tests(folder):
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_strategy_of_the_tutorial_is_found(folder):
    code = (
        "from cluster_kit.plugins import PluginRegistry; "
        "print(PluginRegistry.load().resolve('strategy', 'inventory'))"
    )
    done = run(folder, "-c", code)
    assert done.stdout == "<class 'cluster_kit_acme.inventory.InventoryStrategy'>\n", done.stderr
