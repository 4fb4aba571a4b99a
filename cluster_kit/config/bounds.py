"""The range of a number among options: ``port: Annotated[int, Bounds(ge=1, le=65535)]``.

Bounds are declared once. Reading a configuration checks them and reports the place of a fault,
``faults_of_bounds`` checks an instance made by code, and the schema and the reference show them.
``msgspec.Meta`` could express the same, but declaring options must not load a third-party package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from cluster_kit.fault import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """A range that a number must be in.

    Args:
        ge: The least number.
        gt: A number that it must exceed.
        le: The greatest number.
        cure: What to do about a number out of range, where that isn't obvious.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    cure: str = ""

    def admit(self, number: float) -> bool:
        """Whether ``number`` is within the range; NaN never is."""
        return (
            (self.ge is None or number >= self.ge)
            and (self.gt is None or number > self.gt)
            and (self.le is None or number <= self.le)
        )

    def __str__(self) -> str:
        """Return the range as messages and tables show it."""
        if self.ge is not None and self.le is not None:
            return f"{self.ge:.15g} to {self.le:.15g}"
        limits = {"at least": self.ge, "more than": self.gt, "at most": self.le}
        return " and ".join(f"{word} {at:.15g}" for word, at in limits.items() if at is not None)

    def fault_of(self, option: str, number: float) -> Fault:
        """Return the fault of a number that is out of range, named ``option``."""
        unit = " seconds" if option.endswith("_s") else ""
        return Fault((option,), f"invalid value {number:.15g}: expected {self}{unit}", self.cure)


Port = Annotated[int, Bounds(ge=1, le=65535)]


def bounds_of(kind: Any) -> Bounds | None:
    """Return the bounds of a type, also of a union such as ``Port | None``."""
    if get_origin(kind) is Annotated:
        return next((each for each in get_args(kind)[1:] if isinstance(each, Bounds)), None)
    return next(filter(None, map(bounds_of, _alternatives(kind))), None)


def without_bounds(kind: Any) -> Any:
    """Return a type without its ``Bounds``; other annotations stay."""
    if get_origin(kind) is Annotated and bounds_of(kind):
        return get_args(kind)[0]
    return reduce(or_, map(without_bounds, _alternatives(kind))) if _alternatives(kind) else kind


def faults_of_bounds(options: object) -> Iterator[Fault]:
    """Yield each option of a dataclass instance that is out of its bounds."""
    cls: Any = type(options)
    for name, bounds in _bounds_in(cls).items():
        number = getattr(options, name)
        if isinstance(number, int | float) and not bounds.admit(number):
            yield bounds.fault_of(name, number)


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else ()


@cache
def _bounds_in(cls: Any) -> dict[str, Bounds]:
    hints = get_type_hints(cls, include_extras=True)
    found = {field.name: bounds_of(hints[field.name]) for field in fields(cls)}
    return {name: bounds for name, bounds in found.items() if bounds is not None}
