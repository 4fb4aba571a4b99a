"""Building blocks of the commands: help with an example, and a type of parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import click

FAULTY_FILE = "FILE has faults; each is printed with its line and column"
MAX_S = 86_400.0


class DocumentedCommand(click.Command):
    """A command whose help ends with an example and the meaning of its exit codes."""

    def __init__(
        self, *args: Any, example: str, exit_codes: Mapping[int, str], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._example = example
        self._exit_codes = exit_codes

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the two sections."""
        with formatter.section("Example"):
            formatter.write_text(self._example)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in self._exit_codes.items()])


class Seconds(click.FloatRange):
    """A number of seconds: more than 0, and at most a day."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_S)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, which is finite."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds
