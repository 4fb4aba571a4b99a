"""Seconds as an option of a command."""

from __future__ import annotations

import math
from typing import Any

import click

MAX_S = 86_400.0


class Seconds(click.FloatRange):
    """More than 0, and at most a day."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True, max=MAX_S)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; neither infinite nor none."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return seconds
