"""The directive ``configuration-reference``: all keys and options, as the checks know them."""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from cluster_kit.config.schema import json_schema
from cluster_kit.plugins import PluginRegistry

KINDS = {"strategy": "Strategies", "connector": "Connectors", "topology": "Topologies"}
DOCS = Path(__file__).parents[1]
GUIDES = {
    "strategy": sorted(f"strategies/{path.name}" for path in DOCS.glob("strategies/*.md")),
    "connector": ["callback.md"],
    "topology": ["topologies.md"],
}


class ConfigurationReference(SphinxDirective):
    """Writes a table for the keys of each level, and one for the options of each part."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        return self.parse_text_to_nodes("\n".join(page()), allow_section_headings=True)


def page() -> Iterator[str]:
    """Yield the lines of the reference, in MyST."""
    schema = json_schema(PluginRegistry.load())
    entry = schema["$defs"]["topology_entry"]
    yield from section("The file", schema)
    yield from section("An entry under topologies", entry, unless={"strategy": "use"})
    yield from section("child_spec", entry["properties"]["child_spec"])
    for kind, title in KINDS.items():
        yield from ["", f"## {title}", ""]
        for name, part in parts_of(schema["$defs"][kind]):
            yield from section(f"`{name}`", part, level=3, guide=guide_to(kind, name))


def parts_of(component: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and schema of each part that can be chosen."""
    for form in component["anyOf"]:
        name = form.get("properties", {}).get("name", {})
        if "const" in name:
            yield name["const"], form


def guide_to(kind: str, name: str) -> str | None:
    """Return the page that has an example of a part; the one called like it, if there is one."""
    shown = re.compile(rf"{kind}: {name}$|name: {name}\b", re.MULTILINE)
    called_like_it = [page for page in GUIDES[kind] if page.endswith(f"/{name}.md")]
    return next(
        (page for page in called_like_it + GUIDES[kind] if shown.search((DOCS / page).read_text())),
        None,
    )


def section(
    title: str,
    schema: Mapping[str, Any],
    *,
    level: int = 2,
    unless: Mapping[str, str] | None = None,
    guide: str | None = None,
) -> Iterator[str]:
    """Yield a heading, a link to the guide, and a table.

    Args:
        title: The heading.
        schema: Of the keys or options.
        level: Of the heading.
        unless: Keys that are required unless another one is given, which is their value.
        guide: A page with examples.
    """
    yield from ["", f"{'#' * level} {title}", ""]
    if guide is not None:
        yield from [f"Guide with examples: [{guide.removesuffix('.md')}]({guide}).", ""]
    options = {name: each for name, each in schema["properties"].items() if name != "name"}
    if not options:
        yield "No options."
        return
    needed = dict.fromkeys(schema.get("required", ()), "**required**")
    needed |= {key: f"**required** unless `{other}`" for key, other in (unless or {}).items()}
    yield from ["| key | value | default | meaning |", "|---|---|---|---|"]
    for each, names in groupby(
        options, key=options.__getitem__
    ):  # other names of an option are next to it
        keys = list(names)
        shown = ", ".join(f"`{name}`" for name in keys)
        default = next(filter(None, map(needed.get, keys)), "") or default_of(each)
        meaning = each.get("description", "")
        yield f"| {shown} | {cell(type_of(each))} | {cell(default)} | {cell(meaning)} |"


def default_of(schema: Mapping[str, Any]) -> str:
    """Return the default as a file would have it."""
    found = [each["default"] for each in (schema, *schema.get("anyOf", ())) if "default" in each]
    return f"`{yaml.safe_dump(found[0]).splitlines()[0]}`" if found else ""


def type_of(schema: Mapping[str, Any]) -> str:
    """Return what a value may be, in words."""
    if "title" in schema:
        return str(schema["title"])
    if "$ref" in schema:
        return "name, `package.module:Class`, or mapping of `name` and options"
    if "anyOf" in schema:
        said = [
            each
            for each in schema["anyOf"]
            if each != {"type": "null"} and "\\$" not in each.get("pattern", "")
        ]
        return " or ".join(dict.fromkeys(type_of(each) for each in said))
    if "pattern" in schema:
        return f"`{schema['description']}`"
    if "prefixItems" in schema:
        return "list of module, function and arguments"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"]) or "name"
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    words = {"array": "list", "object": "mapping", "string": "text", "boolean": "`true` or `false`"}
    if kinds == ["array"] and schema.get("items"):
        return (
            "list of these" if "$ref" in schema["items"] else f"list of {type_of(schema['items'])}"
        )
    said = " or ".join(words.get(kind, kind) for kind in kinds if kind != "null")
    return " ".join([said, *range_of(schema)])


def range_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the bounds of a number, in words."""
    for word, keyword in {"from": "minimum", "above": "exclusiveMinimum", "to": "maximum"}.items():
        if keyword in schema:
            yield f"{word} {schema[keyword]:.15g}"


def cell(text: str) -> str:
    """Return ``text`` as a table's cell can have it."""
    return " ".join(
        re.sub(r"(?<!\w)'([^']+)'(?!\w)", r"`\1`", text)
        .replace("``", "`")
        .replace("|", "\\|")
        .split()
    )


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("configuration-reference", ConfigurationReference)
    return {"parallel_read_safe": True}
