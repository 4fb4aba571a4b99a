"""The directive ``configuration-reference``: all keys and options, from the same declarations as the checks."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from cluster_kit.config.schema import json_schema
from cluster_kit.plugins import PluginRegistry

KINDS = {"strategy": "Strategies", "connector": "Connectors", "topology": "Topologies"}


class ConfigurationReference(SphinxDirective):
    """Writes a table for the keys of each level, and one for the options of each part."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        lines = StringList(list(page()), source="configuration_reference")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def page() -> Iterator[str]:
    """Yield the lines of the reference, in MyST."""
    registry = PluginRegistry.load()
    schema = json_schema(registry)
    entry = schema["$defs"]["topology_entry"]
    yield from section("The file", schema)
    yield from section("An entry under topologies", entry)
    yield from section("child_spec", entry["properties"]["child_spec"])
    for kind, title in KINDS.items():
        yield from ["", f"## {title}", ""]
        for name, options in options_of(schema["$defs"][kind]):
            yield from section(name, options, level=3)


def options_of(component: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and schema of each part that can be chosen."""
    for form in component["anyOf"]:
        properties = form.get("properties", {})
        if "const" in properties.get("name", {}):
            options = {key: value for key, value in properties.items() if key != "name"}
            yield properties["name"]["const"], {**form, "properties": options}


def section(title: str, schema: Mapping[str, Any], level: int = 2) -> Iterator[str]:
    """Yield a heading and a table."""
    yield from ["", f"{'#' * level} `{title}`" if level == 3 else f"{'#' * level} {title}", ""]
    properties, required = schema["properties"], schema.get("required", ())
    if not properties:
        yield "No options."
        return
    yield from ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, each in properties.items():
        default = "required" if name in required else ""
        if "default" in each:
            default = f"`{json.dumps(each['default'])}`"
        yield f"| `{name}` | {cell(type_of(each))} | {cell(default)} | {cell(each.get('description', ''))} |"


def type_of(schema: Mapping[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "title" in schema:
        return str(schema["title"])
    if "$ref" in schema:
        return "a part"
    if "anyOf" in schema:
        return " or ".join(filter(None, dict.fromkeys(map(type_of, schema["anyOf"]))))
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"]) or "a name"
    if "pattern" in schema:  # one without a description is what a variable may stand for
        return f"`{schema['description']}`" if "description" in schema else ""
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return f"{kind} {range_of(schema)}".strip()
    if kind == "array":
        return f"list of {type_of(schema['items'])}" if schema.get("items") else "list"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def range_of(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a number, in words."""
    limits = {
        "from": schema.get("minimum"),
        "above": schema.get("exclusiveMinimum"),
        "to": schema.get("maximum"),
    }
    return " ".join(f"{word} {limit:.15g}" for word, limit in limits.items() if limit is not None)


def cell(text: str) -> str:
    """Return ``text`` as a table's cell can have it."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("configuration-reference", ConfigurationReference)
    return {"parallel_read_safe": True}
