"""Checks that a configuration can give every option that a class declares."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import Field, is_dataclass
from types import NoneType
from typing import Any, ClassVar, get_args, get_origin, get_type_hints

from cluster_kit.config.callback import Callback
from cluster_kit.config.options import is_required, names_of, options_of, reader_of
from cluster_kit.config.targets import Kind, reason_of

_VALUES = (str, int, float, bool, tuple, NoneType)


def faults_of_options(cls: type, kind: Kind, hidden: Collection[str]) -> Iterator[str]:
    """Yield everything that is wrong with the options of ``cls``.

    Args:
        cls: A plugin class.
        kind: Its contract.
        hidden: Names of the contract's methods, which an option of the same name would replace.
    """
    yield from _undeclared(cls)
    options = options_of(cls)
    malformed = [fault for option in options for fault in _faults_of_names(option)]
    yield from malformed or _faults_of_all_names(options, kind, hidden)
    yield from _faults_of_types(cls)
    try:
        inspect.signature(cls).bind(**dict.fromkeys(option.name for option in options))
    except TypeError as exc:
        yield f"its constructor must take exactly the options, the fields of the dataclass: {exc}"
    except ValueError:  # a constructor without a signature is checked by calling it
        pass


def _undeclared(cls: type) -> Iterator[str]:
    """Yield fields that look like options but aren't."""
    own = vars(cls)
    found = own.get("__annotations__", {})
    annotated = found if isinstance(found, dict) else {}
    inherited = {name for base in cls.__mro__[1:] for name in vars(base)}
    if "__dataclass_fields__" in own:
        for name, value in own.items():
            is_constant = not name.islower() or name.startswith("_")
            if is_constant or name in annotated or name in inherited:
                continue
            if isinstance(value, _VALUES):
                kind = type(value).__name__
                cure = f"write '{name}: {kind} = {value!r:.40}', or ClassVar[{kind}] for a constant"
                yield f"{name!r} has no annotation, so it is not an option: {cure}"
    elif "__init__" not in own:
        missing = [
            name for name, hint in annotated.items() if _is_option(name, hint) and name not in own
        ]
        if missing:
            names = " and ".join(map(repr, missing))
            yield f"{names} would be options of a dataclass: decorate it with @dataclass"


def _is_option(name: str, hint: Any) -> bool:
    is_class_variable = "ClassVar" in str(hint) or get_origin(hint) is ClassVar
    return not is_class_variable and not name.startswith("_")


def _faults_of_names(option: Field[Any]) -> Iterator[str]:
    given, aliases = option.metadata.get("option", option.name), option.metadata.get("aliases", ())
    metadata = f"option {option.name!r}: its metadata"
    if not isinstance(given, str):
        yield f"{metadata} 'option' is {given!r:.40}: expected a name"
    if not (isinstance(aliases, tuple | list) and all(isinstance(each, str) for each in aliases)):
        yield f"{metadata} 'aliases' is {aliases!r:.40}: expected a tuple of names"


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
        cure = 'rename it, or declare it with field(metadata={"option": "another_name"})'
        yield f"option 'name' cannot be given: that key names the {kind} itself; {cure}"
    for option in options:
        if option.name in hidden:
            yield f"option {option.name!r} hides the method of that name: rename it"


def _faults_of_types(cls: type, above: frozenset[type] = frozenset()) -> Iterator[str]:
    """Yield the options that no configuration can give, including those of nested dataclasses."""
    if not is_dataclass(cls) or cls in above:
        return
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as exc:  # noqa: BLE001 - evaluating an annotation runs the plugin's code
        yield f"the option types of {cls.__qualname__} cannot be resolved: {reason_of(exc)}"
        return
    for option in options_of(cls):
        hint = hints.get(option.name)
        if _is_for_code(option, hint):
            continue
        try:
            reader_of(hint)
        except TypeError as exc:
            yield f"option {option.name!r} of {cls.__qualname__}: {exc}"
        for nested in _dataclasses_in(hint):
            yield from _faults_of_types(nested, above | {cls})


def _is_for_code(option: Field[Any], hint: Any) -> bool:
    """Whether the option is optional, and of a type that only code can give."""
    kinds = (hint, get_origin(hint), *get_args(hint))
    is_code = hint is Any or any("Callable" in str(each) for each in kinds)
    return is_code and not is_required(option)


def _dataclasses_in(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint) and hint is not Callback:  # read from text
        yield hint
    for argument in get_args(hint):
        yield from _dataclasses_in(argument)
