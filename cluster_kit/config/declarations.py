"""Checks that a configuration can give the options that a class declares."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from cluster_kit.config.callback import Callback
from cluster_kit.config.options import names_of, reader_of
from cluster_kit.config.targets import Kind, reason_of

_VALUES = (str, int, float, bool, tuple, NoneType)


def faults_of_options(cls: type, kind: Kind, hidden: Collection[str]) -> Iterator[str]:
    """Yield everything that is wrong with the options of ``cls``.

    Args:
        cls: A plugin class.
        kind: What it is.
        hidden: Methods of its contract, which an option of the same name would take the place of.
    """
    yield from _undeclared(cls)
    options = [field for field in fields(cls) if field.init] if is_dataclass(cls) else []
    malformed = [fault for option in options for fault in _faults_of_names(option)]
    yield from malformed or _faults_of_all_names(options, kind, hidden)
    yield from _faults_of_types(cls)
    try:
        inspect.signature(cls).bind(**dict.fromkeys(option.name for option in options))
    except TypeError as exc:
        yield (
            "its constructor does not take exactly the fields of a dataclass, which are the "
            f"options: {exc}"
        )
    except ValueError:  # a constructor without a signature shows when it is called
        pass


def _undeclared(cls: type) -> Iterator[str]:
    """Yield fields that look like options but aren't."""
    own = vars(cls)
    annotated = (
        own.get("__annotations__", {}) if isinstance(own.get("__annotations__", {}), dict) else {}
    )
    inherited = {name for base in cls.__mro__[1:] for name in vars(base)}
    if "__dataclass_fields__" in own:
        for name, value in own.items():
            ours = (
                name in annotated or name in inherited or not name.islower() or name.startswith("_")
            )
            if not ours and isinstance(value, _VALUES):
                kind = type(value).__name__
                yield (
                    f"{name!r} has no annotation, so it is no option: write '{name}: {kind} = "
                    f"{value!r:.40}', "
                    f"or ClassVar[{kind}] if it is to be none"
                )
    elif "__init__" not in own:
        missing = [
            name
            for name, hint in annotated.items()
            if _awaits_a_value(name, hint) and name not in own
        ]
        if missing:
            yield (
                f"{' and '.join(map(repr, missing))} would be options of a dataclass: decorate it "
                "with @dataclass"
            )


def _awaits_a_value(name: str, hint: Any) -> bool:
    return (
        not name.startswith("_")
        and "ClassVar" not in str(hint)
        and get_origin(hint) is not ClassVar
    )


def _faults_of_names(option: Field[Any]) -> Iterator[str]:
    given, aliases = option.metadata.get("option", option.name), option.metadata.get("aliases", ())
    if not isinstance(given, str):
        yield f"option {option.name!r}: its metadata 'option' is {given!r:.40}: expected a name"
    if not isinstance(aliases, tuple | list) or not all(
        isinstance(alias, str) for alias in aliases
    ):
        yield (
            f"option {option.name!r}: its metadata 'aliases' is {aliases!r:.40}: expected a tuple "
            "of names"
        )


def _faults_of_all_names(
    options: Collection[Field[Any]], kind: Kind, hidden: Collection[str]
) -> Iterator[str]:
    names = Counter(name for option in options for name in names_of(option))
    yield from (
        f"option {name!r} is declared {count} times, aliases included"
        for name, count in names.items()
        if count > 1
    )
    if "name" in names:
        yield (
            f"option 'name' cannot be given: beside its options, 'name' says which {kind} is "
            "meant; "
            'rename it, or declare it with field(metadata={"option": "another_name"})'
        )
    for option in options:
        if option.name in hidden:
            yield f"option {option.name!r} takes the place of the method of that name: rename it"


def _faults_of_types(cls: type, above: frozenset[type] = frozenset()) -> Iterator[str]:
    """Yield the options that no configuration can give, those of nested dataclasses included."""
    if not is_dataclass(cls) or cls in above:
        return
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as exc:  # noqa: BLE001 - evaluating an annotation runs the plugin's code
        yield f"the option types of {cls.__qualname__} cannot be resolved: {reason_of(exc)}"
        return
    for option in fields(cls):
        hint = hints.get(option.name)
        if not option.init or _is_for_code(option, hint):
            continue
        try:
            reader_of(hint)
        except TypeError as exc:
            yield f"option {option.name!r} of {cls.__qualname__}: {exc}"
        for nested in _dataclasses_in(hint):
            yield from _faults_of_types(nested, above | {cls})


def _is_for_code(option: Field[Any], hint: Any) -> bool:
    """Whether code may give the option where a configuration can't, and none needs to."""
    optional = option.default is not MISSING or option.default_factory is not MISSING
    return optional and (
        hint is Any
        or any("Callable" in str(each) for each in (hint, get_origin(hint), *get_args(hint)))
    )


def _dataclasses_in(hint: Any) -> Iterator[type]:
    # which is read from text
    if isinstance(hint, type) and is_dataclass(hint) and hint is not Callback:
        yield hint
    for argument in get_args(hint):
        yield from _dataclasses_in(argument)
