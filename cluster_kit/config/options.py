"""Reads the options of a plugin class, which are the fields of its dataclass.

A field may be a str, int, float, bool, ``Literal``, ``Path``, ``Secret``, ``Callback``, ``tuple[T,
...]``, ``Mapping[str, T]``, a nested dataclass, ``int | str``, or one of these ``| None``. Only
what is given is returned: the class itself knows its defaults. A field declared with
``metadata={"aliases": ("old_name",)}`` can be given by those names too, and one with
``metadata={"option": "from"}`` is called that in configurations, where its own name won't do.

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
from cluster_kit.config.document import Faults, Part
from cluster_kit.config.lists import read_list, with_separators_named
from cluster_kit.config.secret import Secret
from cluster_kit.config.targets import raised_at, reason_of
from cluster_kit.config.values import Reader, is_plain, plain, read_fields, text
from cluster_kit.errors import ConfigError, text_of
from cluster_kit.fault import Fault, format_path


def convert(part: Part, kind: Any) -> Any:
    """Return the value of ``part`` as an option of type ``kind``."""
    try:
        reader = reader_of(kind)
    except TypeError as exc:
        raise part.error(f"cannot be configured: {exc}") from exc
    return reader(part)


def reader_of(kind: Any) -> Reader:
    """Return what reads options of type ``kind``; ``TypeError`` if nothing can."""
    origin, arguments = get_origin(kind), get_args(kind)
    if is_plain(kind):
        return partial(plain, kind=kind)
    if origin in (Union, UnionType) and NoneType in arguments:
        return partial(
            _or_none,
            reader=reader_of(reduce(or_, (each for each in arguments if each is not NoneType))),
        )
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


def _or_none(part: Part, reader: Reader) -> Any:
    return None if part.raw is None else reader(part)


def _tuple(part: Part, kind: Any, reader: Reader) -> tuple[Any, ...]:
    try:
        return tuple(_each(read_list(part, kind), reader).values())
    except ConfigError as exc:
        raise ConfigError.gather(with_separators_named(part, exc.errors)) from exc


def _mapping(part: Part, reader: Reader) -> dict[str | int, Any]:
    return _each(part.by_key().values(), reader)


def _made_of_text(part: Part, kind: type) -> Any:
    return part.raw if isinstance(part.raw, kind) else kind(_some_text(part))


def _nested(part: Part, cls: type) -> Any:
    return (
        part.value if isinstance(part.value, cls) else construct(part, cls, read_options(part, cls))
    )


def _shown(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _instead_of(kind: Any) -> str:
    """Return which type to declare instead."""
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f": use Mapping[str, {_shown(arguments[1]) if len(arguments) == 2 else 'T'}]"
    if isinstance(origin, type) and issubclass(origin, Collection):
        return f": use tuple[{_shown(arguments[0]) if arguments else 'T'}, ...]"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f": use Literal[{', '.join(repr(each.value) for each in kind)}]"
    return ""


def read_options(part: Part, cls: type) -> dict[str, Any]:
    """Return the options for ``cls`` in a mapping; a class that isn't a dataclass takes none."""
    if not is_dataclass(cls):
        if part.value:
            raise part.error(
                f"{cls.__qualname__} takes no options: only the fields of a dataclass are options"
            )
        return {}
    try:
        kinds = get_type_hints(cls, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as exc:
        raise part.error(
            f"the option types of {cls.__qualname__} cannot be resolved: {reason_of(exc)}"
        ) from exc
    options = [field for field in fields(cls) if field.init]
    names = {name: field.name for field in options for name in names_of(field)}
    given = {names[key] for key in part.by_key() if key in names}
    required = [
        names_of(field)[0]
        for field in options
        if field.default is MISSING and field.default_factory is MISSING
    ]
    values = read_fields(
        part,
        {
            name: partial(convert, kind=without_bounds(kinds[option]))
            for name, option in names.items()
        },
        required=[name for name in required if names[name] not in given],
        refused=_given_twice(part, names),
    )
    return {names[key]: value for key, value in values.items()}


def names_of(option: Field[Any]) -> tuple[str, ...]:
    """Return the names by which a configuration gives an option; its own is the first."""
    return option.metadata.get("option", option.name), *option.metadata.get("aliases", ())


def construct(
    part: Part,
    cls: type,
    options: Mapping[str, Any],
    origin: str = "",
    *,
    keys: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Make an instance of ``cls``.

    Args:
        part: The mapping that gives the options.
        cls: A class whose constructor takes the options.
        options: Their values, by field.
        origin: Which plugin offers the class, as messages show it.
        keys: Which keys give fields in another way than ``names_of`` says.

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
        raise part.error(f"{failed}: {reason_of(exc)}{raised_at(exc)}") from exc
    if faults:
        raise _refused(part, faults, {**_keys_given(part, cls), **keys}) from cause
    return made


def _refused(part: Part, faults: Iterable[Fault], keys: Mapping[str, str]) -> ConfigError:
    """Return the error for faults of fields, each at the key that gives the field."""
    errors = [part.placed(_by_key(fault, keys)) for fault in faults]
    for child in part.by_key().values():
        errors = with_separators_named(child, errors)
    return ConfigError.gather(errors)


def _keys_given(part: Part, cls: type) -> dict[str, str]:
    """Return the key that gives each field of ``cls``, which may be another name of it."""
    given = part.by_key()
    options = [field for field in fields(cls) if field.init] if is_dataclass(cls) else []
    return {
        field.name: next(filter(given.__contains__, names_of(field)), names_of(field)[0])
        for field in options
    }


def _by_key(fault: Fault, keys: Mapping[str, str]) -> Fault:
    """Return a fault of a field as one of the key that gives it; what isn't an option is named."""
    if not fault.where:  # a plugin's message begins with the name of the option, as its guide asks
        name, _, what = fault.what.partition(" ")
        named = name.rstrip(":") in {*keys, *keys.values()}
        return (
            _by_key(replace(fault, where=(name.rstrip(":"),), what=what), keys) if named else fault
        )
    field, *rest = fault.where
    if field not in {*keys, *keys.values()}:
        return replace(fault, where=(), what=f"{format_path(fault.where)}: {fault.what}")
    return replace(fault, where=(keys.get(str(field), field), *rest))


def _given_twice(part: Part, names: Mapping[str, str]) -> dict[str, str]:
    """Return the keys for options that another key gives already, each with its fault."""
    first: dict[str, str] = {}
    return {
        key: f"is another name of {first[names[key]]!r}, which is given too: give one of them"
        for key in part.by_key()
        if key in names and first.setdefault(names[key], key) != key
    }


def _some_text(part: Part) -> str:
    given = text(part)
    if not given.strip():
        raise part.error("is empty: give it a value, or leave it out")
    return given


def _each(parts: Iterable[Part], reader: Reader) -> dict[str | int, Any]:
    """Convert each part, by its key or index, and report all faults at once."""
    faults = Faults()
    values = {}
    for part in parts:
        with faults:
            values[part.path[-1]] = reader(part)
    faults.check()
    return values
