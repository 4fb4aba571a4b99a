"""Reads the options of a plugin class, which are the fields of its dataclass.

A field may be a str, int, float, bool, ``Literal``, ``Path``, ``Secret``, ``Callback``, ``tuple[T,
...]``, ``Mapping[str, T]``, a nested dataclass, ``int | str``, or one of these ``| None``. Only
given options are returned: the class has the defaults. ``metadata={"aliases": ("old_name",)}`` lets
a field be given by other names, too, and ``metadata={"option": "from"}`` replaces its name in
configurations, such as for a Python keyword.

A ``tuple[T, ...]`` of plain values can also be given as text with commas: see
``cluster_kit.config.lists``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from enum import Enum
from functools import partial, reduce
from operator import or_
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from cluster_kit.config.bounds import faults_of_bounds, without_bounds
from cluster_kit.config.callback import Callback, read_callback
from cluster_kit.config.document import Faults, Piece
from cluster_kit.config.lists import read_list, with_separators_named
from cluster_kit.config.secret import Secret
from cluster_kit.config.targets import raised_at, reason_of
from cluster_kit.config.values import Reader, is_plain, plain, read_fields, text
from cluster_kit.errors import ConfigError, text_of
from cluster_kit.fault import Fault, format_path


def convert(piece: Piece, kind: Any) -> Any:
    """Return the value of ``piece`` as an option of type ``kind``."""
    try:
        reader = reader_of(kind)
    except TypeError as exc:
        raise piece.error(f"cannot be configured: {exc}") from exc
    return reader(piece)


def reader_of(kind: Any) -> Reader:
    """Return the reader for options of type ``kind``; ``TypeError`` if there is none."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_plain(kind):
        return partial(plain, kind=kind)
    if origin in (Union, UnionType) and NoneType in arguments:
        rest = reduce(or_, (each for each in arguments if each is not NoneType))
        return partial(_or_none, reader=reader_of(rest))
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return partial(_tuple, kind=arguments[0], reader=reader_of(arguments[0]))
    if origin in (Mapping, dict) and arguments[0] is str:
        return partial(_mapping, reader=reader_of(arguments[1]))
    if kind is Callback:
        return read_callback
    if kind in (Path, Secret):
        return partial(_made_of_text, kind=kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return partial(_nested, cls=kind)
    raise TypeError(f"no configuration can give a value of type {_shown(kind)}{_instead_of(kind)}")


def _or_none(piece: Piece, reader: Reader) -> Any:
    return None if piece.raw is None else reader(piece)


def _tuple(piece: Piece, kind: Any, reader: Reader) -> tuple[Any, ...]:
    try:
        return tuple(_each(read_list(piece, kind), reader).values())
    except ConfigError as exc:
        raise ConfigError.gather(with_separators_named(piece, exc.errors)) from exc


def _mapping(piece: Piece, reader: Reader) -> dict[str | int, Any]:
    return _each(piece.by_key().values(), reader)


def _made_of_text(piece: Piece, kind: type) -> Any:
    return piece.raw if isinstance(piece.raw, kind) else kind(_some_text(piece))


def _nested(piece: Piece, cls: type) -> Any:
    if isinstance(piece.value, cls):
        return piece.value
    return construct(piece, cls, read_options(piece, cls))


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _instead_of(kind: Any) -> str:
    """Return the type that the plugin should declare instead."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f": use Mapping[str, {_shown(arguments[1]) if len(arguments) == 2 else 'T'}]"
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f": use tuple[{_shown(arguments[0]) if arguments else 'T'}, ...]"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f": use Literal[{', '.join(repr(each.value) for each in kind)}]"
    return ""


def read_options(piece: Piece, cls: type) -> dict[str, Any]:
    """Return the options for ``cls`` in a mapping; a class that isn't a dataclass takes none."""
    if not is_dataclass(cls):
        if piece.value:
            why = f"{cls.__qualname__} takes no options"
            raise piece.error(f"{why}: only the fields of a dataclass are options")
        return {}
    try:
        kinds = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as exc:
        failed = f"the option types of {cls.__qualname__} cannot be resolved"
        raise piece.error(f"{failed}: {reason_of(exc)}") from exc
    options = options_of(cls)
    names = {name: option.name for option in options for name in names_of(option)}
    readers = {
        name: partial(convert, kind=without_bounds(kinds[field])) for name, field in names.items()
    }
    given = {names[key] for key in piece.by_key() if key in names}
    missing = [
        names_of(option)[0]
        for option in options
        if is_required(option) and option.name not in given
    ]
    refused = _given_twice(piece, names)
    values = read_fields(piece, readers, required=missing, refused=refused)
    return {names[key]: value for key, value in values.items()}


def options_of(cls: type) -> list[Field[Any]]:
    """Return the options of a class: the fields that the constructor of a dataclass takes."""
    return [field for field in fields(cls) if field.init] if is_dataclass(cls) else []


def is_required(option: Field[Any]) -> bool:
    """Whether the option has no default."""
    return option.default is MISSING and option.default_factory is MISSING


def names_of(option: Field[Any]) -> tuple[str, ...]:
    """Return the names of an option in configurations, the preferred one first."""
    return option.metadata.get("option", option.name), *option.metadata.get("aliases", ())


def construct(
    piece: Piece,
    cls: type,
    options: Mapping[str, Any],
    origin: str = "",
    *,
    keys: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Make an instance of ``cls``.

    Args:
        piece: The mapping with the options.
        cls: The class.
        options: The arguments of its constructor.
        origin: The plugin that offers the class, as messages show it.
        keys: The key for each field that has other names than ``names_of`` says.

    Raises:
        ConfigError: The constructor refuses the options, or fails.
    """
    cause: Exception | None = None
    try:
        made = cls(**options)
        faults = list(faults_of_bounds(made)) if is_dataclass(cls) else []
    except ConfigError as exc:
        cause, faults = exc, [error.fault for error in exc.errors]
    except ValueError as exc:
        text = " ".join(text_of(exc).split()) or f"{cls.__qualname__} refuses its options"
        cause, faults = exc, [Fault((), text)]
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        failed = f"{cls.__qualname__}{origin} cannot be built"
        raise piece.error(f"{failed}: {reason_of(exc)}{raised_at(exc)}") from exc
    if faults:
        raise _refused(piece, faults, {**_keys_given(piece, cls), **keys}) from cause
    return made


def _refused(piece: Piece, faults: Iterable[Fault], keys: Mapping[str, str]) -> ConfigError:
    """Return the error for faults of fields, each located at the field's key."""
    errors = [piece.error_of(_by_key(fault, keys)) for fault in faults]
    for child in piece.by_key().values():
        errors = with_separators_named(child, errors)
    return ConfigError.gather(errors)


def _keys_given(piece: Piece, cls: type) -> dict[str, str]:
    """Return the key of each field of ``cls``: the name that was given, or the preferred one."""
    given = piece.by_key()
    return {
        option.name: next(filter(given.__contains__, names_of(option)), names_of(option)[0])
        for option in options_of(cls)
    }


def _by_key(fault: Fault, keys: Mapping[str, str]) -> Fault:
    """Return a fault of a field as one of its key; a place that isn't a field joins the text."""
    known = {*keys, *keys.values()}
    if not fault.where:  # docs/plugins.md lets the text of a ValueError begin with the option
        first, _, what = fault.what.partition(" ")
        name = first.rstrip(":")
        return _by_key(replace(fault, where=(name,), what=what), keys) if name in known else fault
    field, *rest = fault.where
    if field not in known:
        return replace(fault, where=(), what=f"{format_path(fault.where)}: {fault.what}")
    return replace(fault, where=(keys.get(str(field), field), *rest))


def _given_twice(piece: Piece, names: Mapping[str, str]) -> dict[str, str]:
    """Return the keys whose option is given by an earlier key, each with its fault."""
    first: dict[str, str] = {}
    return {
        key: f"is another name of {first[names[key]]!r}, which is given too: give one of them"
        for key in piece.by_key()
        if key in names and first.setdefault(names[key], key) != key
    }


def _some_text(piece: Piece) -> str:
    given = text(piece)
    if not given.strip():
        raise piece.error("is empty", "give it a value, or leave it out")
    return given


def _each(pieces: Iterable[Piece], reader: Reader) -> dict[str | int, Any]:
    """Convert each piece, by its key or index, and report all faults at once."""
    faults = Faults()
    values = {}
    for piece in pieces:
        with faults:
            values[piece.path[-1]] = reader(piece)
    faults.check()
    return values
