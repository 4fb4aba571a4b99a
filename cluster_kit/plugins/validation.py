"""Checks the hooks of a plugin, and what they offer, before it is registered."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pluggy

from cluster_kit import hookspecs
from cluster_kit.config.targets import CONTRACTS, Offered, check_class, is_target
from cluster_kit.fault import did_you_mean
from cluster_kit.hookspecs import PROJECT

_OFFERED_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMAND_NAME = re.compile(r"[a-z][a-z0-9-]*")

HOOKS: Mapping[str, tuple[str, ...]] = {
    name: tuple(inspect.signature(spec).parameters)
    for name, spec in vars(hookspecs).items()
    if name.startswith(f"{PROJECT}_")
}
"""The arguments of every hook, by its name."""

_NOT_PLAIN = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
_UNUSUAL = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def hooks_of(manager: pluggy.PluginManager, plugin: object) -> dict[str, Callable[..., Any]]:
    """Return the functions of ``plugin`` that are marked as hooks, by hook.

    Raises:
        TypeError: It has none, or one that cannot be called as a hook; the message lists every
            fault.
    """
    hooks: dict[str, Callable[..., Any]] = {}
    faults: list[str] = []
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is not None:
            name = options.get("specname") or attribute
            hooks[name] = getattr(plugin, attribute)
            faults += _faults_of(name, hooks[name], plugin)
        elif attribute in HOOKS and inspect.isroutine(inspect.getattr_static(plugin, attribute)):
            cure = "put @cluster_kit.hookimpl above it"
            faults.append(f"{attribute} is not marked as a hook: {cure}")
    if faults:
        raise TypeError("; ".join(faults))
    if not hooks:
        cure = "mark its functions with @cluster_kit.hookimpl"
        raise TypeError(f"it implements no hook: {cure}{_if_class(plugin)}")
    return hooks


def _faults_of(name: str, function: Callable[..., Any], plugin: object) -> Iterator[str]:
    if name not in HOOKS:
        yield f"unknown hook {name!r}{did_you_mean(name, HOOKS)}"
        return
    if any(is_special(function) for is_special in _NOT_PLAIN):
        yield f"{name} must be a plain function, neither async nor a generator"
    parameters = inspect.signature(function).parameters.values()
    if isinstance(plugin, type) and next((each.name for each in parameters), "") == "self":
        yield f"{name} is a method without its object{_if_class(plugin)}"
        return
    cure = f"it may take {', '.join(HOOKS[name]) or 'no arguments'}"
    for parameter in parameters:
        if parameter.kind in _UNUSUAL:
            yield f"{name} has the argument '{parameter}', which hooks cannot have: {cure}"
        elif parameter.name not in HOOKS[name]:
            fault = f"{name} has the argument {parameter.name!r}, which the hook does not pass"
            yield f"{fault}: {cure}"
        elif parameter.default is not parameter.empty:
            fault = f"{name} has a default for {parameter.name!r}, which would always be used"
            yield f"{fault}: remove it"


def _if_class(plugin: object) -> str:
    if not isinstance(plugin, type):
        return ""
    return ": its entry point names a class; let it name an instance, or a module"


def checked_offers(kind: Offered, hook: str, offered: Any) -> dict[str, Any]:
    """Return what an offering hook returned, if it has the right shape.

    Raises:
        TypeError, ValueError: It has another shape; the message says what was expected.
    """
    if not isinstance(offered, Mapping):
        found = f"{hook} returned {type(offered).__name__}"
        raise TypeError(f"{found}: expected a mapping of name to class")
    form, joint = (_COMMAND_NAME, "-") if kind == "command" else (_OFFERED_NAME, "_")
    offers = dict(offered)
    for name, value in offers.items():
        if not isinstance(name, str) or not form.fullmatch(name):
            expected = f"expected lower-case letters, digits and '{joint}'"
            example = f"such as {_valid_name_like(name, joint)!r}"
            raise ValueError(f"{hook} offers {name!r:.80}: {expected}, {example}")
        _check_offer(kind, hook, name, value)
    return offers


def _valid_name_like(name: object, joint: str) -> str:
    valid = re.sub(r"[^a-z0-9]+", joint, str(name).lower())
    return valid.strip("-_0123456789")[:40] or "finder"


def _check_offer(kind: Offered, hook: str, name: str, value: Any) -> None:
    if kind == "spec":
        if not isinstance(value, Mapping):
            found = f"{hook} offers {name!r} as {type(value).__name__}"
            raise TypeError(f"{found}: expected a mapping, as under topologies")
    elif isinstance(value, str):
        if not is_target(value):
            raise ValueError(f"{hook} offers {name!r} as {value!r}: expected package.module:Class")
    elif kind != "command":
        check_class(value, CONTRACTS[kind], name)
