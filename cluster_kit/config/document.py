"""A configuration before it is checked: plain data, and where each piece of it is written.

``Piece`` is a value with its key path, which is all that a check needs to report a fault in the
right place. ``Faults`` collects them, so that all are reported at once.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, NamedTuple

from cluster_kit.errors import ConfigError
from cluster_kit.fault import Fault, KeyPath, format_path

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


class Place(NamedTuple):
    """Where a key or value is written, and for a scalar how. Lines and columns count from 1.

    ``expanded`` is ``text`` with its references replaced, before YAML resolves its type.
    """

    line: int
    column: int
    text: str | None = None
    quoted: bool = False
    expanded: str | None = None


class MisreadNumberError(ConfigError):
    """A number that YAML reads differently from how it looks; the message shows it."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Document:
    """Plain data and its places.

    A scalar that could not be read is present in ``data`` as its ``ConfigError``, which is raised
    when the value is used. The reprs show no data, as a secret could end up in a traceback.

    Attributes:
        errors: Faults of the text itself, such as duplicate keys.
    """

    data: Any
    file: str | None = None
    keys: Mapping[KeyPath, Place] = field(default_factory=dict)
    values: Mapping[KeyPath, Place] = field(default_factory=dict)
    errors: tuple[ConfigError, ...] = ()

    def __repr__(self) -> str:
        return f"Document({self.file!r})"

    @property
    def root(self) -> Piece:
        """The whole document."""
        return Piece(self, (), self.data)


@dataclass(frozen=True, slots=True, repr=False)
class Piece:
    """A piece of a document."""

    document: Document
    path: KeyPath
    raw: Any

    def __repr__(self) -> str:
        return f"Piece({format_path(self.path)})"

    @property
    def value(self) -> Any:
        """The plain data; raises the error of a scalar that could not be read."""
        if isinstance(self.raw, ConfigError):
            raise self.raw
        return self.raw

    @property
    def place(self) -> Place | None:
        """Where the value is written; ``None`` for a default or a dict."""
        return self.document.values.get(self.path)

    @property
    def key(self) -> str:
        """The last key of the path; empty for the whole document."""
        return str(self.path[-1]) if self.path else ""

    def child(self, key: str | int, raw: Any) -> Piece:
        """Return the piece that ``key`` leads to."""
        return Piece(self.document, (*self.path, key), raw)

    def by_key(self) -> dict[str, Piece]:
        """Return the pieces of a mapping; a bare ``config:`` is an empty one."""
        mapping = {} if self.value is None else self.value
        if not isinstance(mapping, Mapping):
            raise self.error(f"expected a mapping, got {type_name(mapping)}")
        for key in mapping:
            if not isinstance(key, str):
                raise self.error(f"key {shown(key)} is not text: quote it")
        return {key: self.child(key, raw) for key, raw in mapping.items()}

    def items(self) -> list[Piece]:
        """Return the pieces of a list by index."""
        if not isinstance(self.value, list | tuple):
            raise self.error(f"expected a list, got {type_name(self.value)}")
        return [self.child(index, raw) for index, raw in enumerate(self.value)]

    def replaced(self, raw: Any) -> Piece:
        """Return a piece in the same place with other data."""
        return Piece(self.document, self.path, raw)

    def error(self, what: str, cure: str = "") -> ConfigError:
        """Return an error about the value."""
        return self.error_of(Fault((), what, cure))

    def error_of(self, fault: Fault) -> ConfigError:
        """Return the error for a fault of this value or within it.

        If the value at fault isn't written, the error has the place of the closest value around it.
        """
        path = (*self.path, *fault.where)
        while path and path not in self.document.values:
            path = path[:-1]
        return self._error(fault.under(self.path), self.document.values.get(path))

    def key_error(self, what: str, cure: str = "") -> ConfigError:
        """Return an error about the key."""
        return self._error(Fault(self.path, what, cure), self.document.keys.get(self.path))

    def _error(self, fault: Fault, place: Place | None) -> ConfigError:
        line, column = (place.line, place.column) if place else (None, None)
        return ConfigError(fault, file=self.document.file, line=line, column=column)


class Faults:
    """Collects every ``ConfigError`` raised in its ``with`` blocks.

    Example::

        with faults:
            port = convert(piece, int)
        faults.check()
    """

    def __init__(self, errors: Iterable[ConfigError] = ()) -> None:
        self.errors = list(errors)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(exc, ConfigError):
            self.errors.extend(exc.errors)
            return True
        return False

    def add(self, errors: Iterable[ConfigError]) -> None:
        """Collect errors that were not raised."""
        self.errors.extend(errors)

    def check(self) -> None:
        """Raise the collected errors, in the order of the document."""
        if self.errors:
            self.errors.sort(key=lambda error: (error.line or 0, error.column or 0))
            raise ConfigError.gather(self.errors)


def amended(error: ConfigError, **changes: Any) -> ConfigError:
    """Return the error with these fields of its fault replaced."""
    fault = replace(error.fault, **changes)
    return ConfigError(fault, file=error.file, line=error.line, column=error.column)


def shown(value: Any) -> str:
    """Return a bounded repr of any value, for a message."""
    return _SHOWN.repr(value)


def type_name(value: Any) -> str:
    """Return the name of the type of ``value`` in messages."""
    if value is None:
        return "nothing"
    if isinstance(value, type):
        return "class"  # whatever its metaclass
    return {"dict": "mapping", "tuple": "list"}.get(type(value).__name__, type(value).__name__)
