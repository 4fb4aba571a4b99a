"""How docstrings become the reference.

Corrects what autodoc and napoleon get wrong here, and lists the rules of a conformance suite.
"""

import inspect
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

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
    """Leave out the signature of classes that nobody calls; write a default factory as ``...``."""
    if what == "class" and (
        issubclass(obj, Enum) or getattr(obj, "_is_protocol", False) or obj.__name__ in RETURNED
    ):
        return "", None
    return signature and signature.replace("<factory>", "..."), returns


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
    app.connect("autodoc-process-signature", sign)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
