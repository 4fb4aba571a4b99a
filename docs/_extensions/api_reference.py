"""How docstrings become the reference.

Corrects what autodoc and napoleon get wrong here, lists the rules of a conformance suite, and links
names in literals, here and in the guides, to where they are described.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import cluster_kit

RETURNED = {
    "AsyncTopicSubscription",
    "TopicSubscription",
    "AsyncDuty",
    "AsyncSubscription",
    "AsyncTopic",
    "Duty",
    "Gap",
    "Message",
    "Subscription",
    "Topic",
}
"""Classes that a program is given and never makes."""

_NAME = re.compile(r"[A-Z]\w+(\.\w+)*")
_CONSTANT = re.compile(r"= (_?[A-Z][A-Z0-9_]+)\b")


class ConformanceRules(SphinxDirective):
    """Lists the rules of a suite, each by what its docstring says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the list."""
        module, _, name = self.arguments[0].rpartition(".")
        return self.parse_text_to_nodes("\n".join(rules_of(getattr(import_module(module), name))))


def rules_of(suite: type) -> Iterator[str]:
    """Yield a line of Markdown for each rule."""
    for name, rule in inspect.getmembers(suite, inspect.isfunction):
        if name.startswith("test_"):
            yield f"- `{name}`: {' '.join((inspect.getdoc(rule) or '').replace('``', '`').split())}"


def show_bases(
    _app: Sphinx, what: str, _name: str, obj: Any, _options: object, lines: list[str]
) -> None:
    """Say which public classes and which errors a class is based on."""
    if what in {"class", "exception"} and isinstance(obj, type):
        bases = [
            f"``{base.__name__}``"  # which ``link_names`` sees
            for base in obj.__bases__
            if base.__name__ in cluster_kit.__all__ or issubclass(base, Exception)
        ]
        if bases:
            lines[:0] = [f"Bases: {', '.join(bases)}", ""]


def link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn each literal that is the name of one described thing into a link to it."""
    domain = app.env.domains.python_domain
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().removesuffix("()")
        is_in_link = isinstance(literal.parent, nodes.reference | nodes.title)
        if is_in_link or not _NAME.fullmatch(name):
            continue
        found = domain.find_obj(app.env, "", "", name, "obj", searchmode=1)
        described = [entry for _, entry in found if not entry.aliased]
        if len(described) == 1:
            [entry] = described
            shown = literal.deepcopy()
            literal.replace_self(
                make_refnode(app.builder, docname, entry.docname, entry.node_id, shown)
            )


def keep_colons(
    _app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]
) -> None:
    """Keep napoleon from taking an attribute's first words for its type, if a colon follows."""
    if what in {"attribute", "property"}:
        lines[:0] = ["..", ""]  # an empty comment


def sign(
    _app: Sphinx,
    what: str,
    _name: str,
    obj: Any,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> Any:
    """Leave out the signature of classes that nobody calls.

    A default that is a constant is written as its number, and any other one as ``...``.
    """
    if what == "class" and (
        issubclass(obj, Enum) or getattr(obj, "_is_protocol", False) or obj.__name__ in RETURNED
    ):
        return "", None
    module = sys.modules[getattr(obj, "__module__", None) or __name__]

    def value_of(constant: re.Match[str]) -> str:
        value = getattr(module, constant[1], None)
        return f"= {value:_}" if isinstance(value, int | float) else "= ..."

    shown = signature and _CONSTANT.sub(value_of, signature.replace("<factory>", "..."))
    return shown, returns


def skip(
    _app: Sphinx, _what: str, name: str, obj: object, is_skipped: bool, _options: object
) -> bool | None:
    """Leave out what is shown elsewhere: fields of named tuples, and the rules of suites."""
    is_field = (getattr(obj, "__doc__", None) or "").startswith("Alias for field number")
    return True if is_field or name.startswith("test_") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("conformance-rules", ConformanceRules)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", show_bases, priority=600)  # after napoleon
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-resolved", link_names)
    return {"parallel_read_safe": True}
