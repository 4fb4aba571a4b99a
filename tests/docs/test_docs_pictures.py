"""The pictures are those of the figures on the pages, and can be shown."""

from runpy import run_path
from xml.etree import ElementTree

import pytest
from docs_pages import DOCS, PAGES

PICTURES = DOCS / "pictures"
FILES = sorted(PICTURES.glob("*.svg"))


def test_plots_are_of_the_figures_on_the_page():
    drawn = run_path(str(PICTURES / "plot.py"))["pictures"]()
    assert {name: (PICTURES / name).read_text() for name in drawn} == drawn


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_picture_is_small_titled_and_shown(path):
    assert path.stat().st_size < 8_000
    assert ElementTree.parse(path).find("{http://www.w3.org/2000/svg}title").text
    assert [page for page, text in PAGES.items() if f"](pictures/{path.name})" in text]
