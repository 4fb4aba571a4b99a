"""Builds the site: ``tox -e docs``, or ``sphinx-build -W docs OUT`` in an environment with the
dependency group ``docs``.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

import cluster_kit

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "cluster_kit"
author = "the cluster_kit developers"
copyright = "the cluster_kit developers, MIT license"  # noqa: A001 - the name that Sphinx wants
version = release = cluster_kit.__version__

extensions = [
    "myst_parser",
    "sphinxcontrib.mermaid",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "api_reference",
    "configuration_reference",
]
myst_heading_anchors = 3
myst_fence_as_directive = {"mermaid"}  # drawn by the browser, as hosts of repositories do
exclude_patterns = ["_extensions"]
smartquotes_action = "D"  # dashes only: quotes are part of what is shown
html_theme = "furo"
html_title = f"cluster_kit {version}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88  # a longer one gets a line for each argument
python_display_short_literal_types = True
napoleon_use_ivar = True  # else the fields of a named tuple are described twice

_OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:examples|plugins|README)[^)]*\)")


def setup(app: Sphinx) -> None:
    """Show what lies outside of the documentation by its name: a site has no files to lead to."""
    app.connect(
        "source-read", lambda _, __, source: source.__setitem__(0, _OUTSIDE.sub(r"\1", source[0]))
    )
