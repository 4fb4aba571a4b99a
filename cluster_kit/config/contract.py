"""Checks that a plugin class fulfils its contract, as far as that shows before anything runs.

The expectations come from the contract classes: each of their methods is async, an async generator
or plain, and takes certain arguments. Checking builds no instance and calls no method.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import pairwise
from types import FunctionType
from typing import Any

from cluster_kit.abc import Connector, PollingStrategy, Strategy, Topology
from cluster_kit.config.declarations import faults_of_options
from cluster_kit.config.targets import CONTRACTS, Kind, raised_at, reason_of
from cluster_kit.errors import PluginError

_CONTRACTS = (Strategy, PollingStrategy, Connector, Topology)


class Form(Enum):
    """How a method is defined."""

    STREAM = "an async generator: 'async def' with 'yield'"
    AWAITED = "async: write 'async def', and 'return' instead of 'yield'"
    GENERATOR = "a generator"
    PLAIN = "a plain function, neither async nor a generator"


def check_contract(cls: type, kind: Kind, *, built: bool = False) -> None:
    """Check a class that is known to be a subclass of its contract.

    Args:
        cls: The class.
        kind: The contract.
        built: Whether code makes its instances, so no configuration needs to give its options.

    Raises:
        PluginError: It breaks the contract; the message lists every fault.
    """
    faults = contract_faults(cls, kind, built=built)
    if faults:
        target = f"{cls.__module__}:{cls.__qualname__}"
        raise PluginError(f"{target!r} cannot work as a {kind}: {'; '.join(faults)}", plugin=target)


def contract_faults(cls: type, kind: Kind, *, built: bool = False) -> list[str]:
    """Return everything that is wrong with ``cls``, even if inspecting it raises."""
    try:
        contracts = [contract for contract in _CONTRACTS if issubclass(cls, contract)]
        return [
            *_missing(cls),
            *(fault for contract in contracts for fault in _faults_of_methods(cls, contract)),
            *_broken_supers(cls),
            *(() if built else faults_of_options(cls, kind, hidden=_method_names(contracts))),
        ]
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # noqa: BLE001 - inspecting a class may run its metaclass
        return [f"it cannot be inspected: {reason_of(exc)}"]


def faults_of_instance(component: object, kind: Kind) -> Iterator[str]:
    """Yield faults that show only in an instance, such as a computed ``partial``."""
    for name, default in vars(CONTRACTS[kind]).items():
        if isinstance(default, bool) and not name.startswith("_"):
            try:
                value = getattr(component, name)
            except KeyboardInterrupt:
                raise
            except BaseException as exc:  # noqa: BLE001 - it may be a property
                yield f"{name!r} cannot be read: {reason_of(exc)}{raised_at(exc)}"
            else:
                if not isinstance(value, bool):
                    yield f"{name!r} is {value!r:.40}: expected True or False"


def _missing(cls: type) -> Iterator[str]:
    names = sorted(getattr(cls, "__abstractmethods__", ()))
    if names:
        yield f"it does not implement {', '.join(map(repr, names))}"


def _method_names(contracts: Iterable[type]) -> frozenset[str]:
    return frozenset(name for contract in contracts for name, _ in _methods(contract))


def _methods(contract: type) -> Iterator[tuple[str, FunctionType]]:
    for name, value in vars(contract).items():
        if isinstance(value, FunctionType) and not name.startswith("_"):
            yield name, value


def _faults_of_methods(cls: type, contract: type) -> Iterator[str]:
    for name, expected in _methods(contract):
        found = inspect.getattr_static(cls, name)
        if found is expected or _defined_by_contract(cls, name):
            continue
        first = () if isinstance(found, staticmethod) else ("self",)
        function = found.__func__ if isinstance(found, staticmethod | classmethod) else found
        if not callable(function):
            yield f"{name!r} is of type {type(found).__name__}: expected a method"
        elif isinstance(function, FunctionType):
            arguments = tuple(inspect.signature(expected).parameters)[1:]
            yield from _faults_of_method(
                name, function, _expected_form(expected), (*first, *arguments)
            )


def _defined_by_contract(cls: type, name: str) -> bool:
    owner = next(base for base in cls.__mro__ if name in vars(base))
    return owner in _CONTRACTS


def _faults_of_method(
    name: str, function: FunctionType, expected: Form, arguments: tuple[str, ...]
) -> Iterator[str]:
    form = _form_of(inspect.unwrap(function))
    # a plain function may return another one's async generator or awaitable: trust its annotation
    delegates = form is Form.PLAIN and (expected is Form.STREAM or _returns_awaitable(function))
    if form is not expected and not delegates:
        yield f"{name!r} must be {expected.value}"
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as exc:
        given = ", ".join(each for each in arguments if each != "self") or "no arguments"
        yield f"{name!r} is called with ({given}), which it does not take: {exc}"


def _expected_form(method: FunctionType) -> Form:
    """Return the form of a contract's method; an abstract one shows it by its annotation."""
    return Form.STREAM if _returns(method).startswith("AsyncIterator") else _form_of(method)


def _form_of(function: Callable[..., Any]) -> Form:
    if inspect.isasyncgenfunction(function):
        return Form.STREAM
    if inspect.iscoroutinefunction(function):
        return Form.AWAITED
    return Form.GENERATOR if inspect.isgeneratorfunction(function) else Form.PLAIN


def _returns(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__annotations__", {}).get("return", ""))


def _returns_awaitable(function: Callable[..., Any]) -> bool:
    return any(word in _returns(function) for word in ("Awaitable", "Coroutine", "Future", "Task"))


def _broken_supers(cls: type) -> Iterator[str]:
    """Yield the methods whose zero-argument ``super()`` refers to a class other than their own.

    ``@dataclass(slots=True)`` makes a second class, and before Python 3.14 the methods still refer
    to the first one.
    """
    for owner in cls.__mro__:
        for name, value in vars(owner).items():
            function = inspect.unwrap(getattr(value, "__func__", getattr(value, "fget", value)))
            if not isinstance(function, FunctionType):
                continue
            bound = _super_of(function)
            if bound is not None and bound is not owner and _calls_super(function):
                yield (
                    f"{name!r} uses super(), which @dataclass(slots=True) breaks: "
                    f"write super({owner.__name__}, self), or leave slots=True out"
                )


def _calls_super(function: FunctionType) -> bool:
    """Whether ``super()`` is called without arguments; any mention of it creates the cell."""
    ignored = ("PUSH_NULL", "PRECALL", "CACHE")
    steps = [step for step in dis.get_instructions(function) if step.opname not in ignored]
    return any(
        step.argval == "super"
        and (after.argval == "__class__" or (after.opname == "CALL" and after.arg == 0))
        for step, after in pairwise(steps)
    )


def _super_of(function: FunctionType) -> Any:
    """Return the class that ``super()`` in ``function`` refers to, if that name is used."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    try:
        return cells["__class__"].cell_contents
    except (KeyError, ValueError):  # there is no such cell, or the class is still being made
        return None
