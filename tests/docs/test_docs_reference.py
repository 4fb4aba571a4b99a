"""The reference has every public name, and every key of a configuration says what it means."""

import re
from functools import cache
from importlib import import_module

import pytest
from docs_pages import PAGES

import cluster_kit
from cluster_kit.config.schema import json_schema
from cluster_kit.plugins import PluginRegistry

PAGE = PAGES["docs/reference.md"]
UNIONS = {
    "IGNORED",  # is shown with the errors, by the docstring behind it
    "Observation",  # stands for those that are described
}


def described():
    """Return the names that have a directive on the page; for a module, all names it defines."""
    names = set(re.findall(r"^\.\. auto(?:class|function):: [\w.]+\.(\w+)$", PAGE, re.MULTILINE))
    for module in map(
        import_module, re.findall(r"^\.\. automodule:: ([\w.]+)$", PAGE, re.MULTILINE)
    ):
        names |= {
            name
            for name, each in vars(module).items()
            if getattr(each, "__module__", None) == module.__name__
        }
    return names


@pytest.mark.parametrize("name", sorted({*cluster_kit.__all__} - {"__version__"}))
def test_public_name_is_described(name):
    assert name in described() or f"`cluster_kit.{name}`" in PAGE or name in UNIONS


@cache
def properties():
    """Return the schema of every key and option by its place."""
    schema = json_schema(PluginRegistry.load())
    entry = schema["$defs"]["topology_entry"]["properties"]
    levels = {
        "": schema["properties"],
        "topologies.x": entry,
        "child_spec": entry["child_spec"]["properties"],
    }
    for kind in ("strategy", "connector", "topology"):
        for form in schema["$defs"][kind]["anyOf"]:
            name = form.get("properties", {}).get("name", {})
            if "const" in name:
                levels[name["const"]] = {
                    key: each for key, each in form["properties"].items() if key != "name"
                }
    return {f"{level}.{key}": each for level, keys in levels.items() for key, each in keys.items()}


@pytest.mark.parametrize("place", properties())
def test_key_says_what_it_means(place):
    assert len(properties()[place].get("description", "")) > 10
