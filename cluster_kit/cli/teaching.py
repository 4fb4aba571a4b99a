"""Help that teaches: every command shows how it is used and what its exit codes mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

FAULTY_FILE = "the file has faults: each is told on a line of its own, with its place"


class TaughtCommand(click.Command):
    """A command whose help ends with an example and the exit codes."""

    def __init__(self, *args: Any, example: str, exit_codes: Mapping[int, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._example = example
        self._exit_codes = exit_codes

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both sections."""
        with formatter.section("Example"):
            formatter.write_text(self._example)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self._exit_codes.items()])
