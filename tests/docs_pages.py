"""The pages for readers and the blocks in them, for the tests in ``docs/``."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FILES = (*ROOT.glob("[A-Z]*.md"), *DOCS.rglob("*.md"))
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(FILES)}
FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between two fences."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """Return the place, which names a test well."""
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    """Yield the blocks of a page in order."""
    text = PAGES[page]
    for match in FENCED.finditer(text):
        yield Block(page, text[: match.start(2)].count("\n") + 1, match[1], match[2])


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*languages: str) -> list[Block]:
    """Return all blocks in one of ``languages``."""
    return [block for block in BLOCKS if block.language in languages]


def texts(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language."""
    return [block.text for block in blocks_of(page) if block.language == language]
