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
"""The arguments of every hook."""


def hooks_of(manager: pluggy.PluginManager, plugin: object) -> dict[str, Callable[..., Any]]:
    """Return the functions of ``plugin`` that are marked as hooks, by the hook that each
    implements.

    Raises:
        TypeError: There is none, or one that can't be called as a hook is; the message tells
            everything that is wrong.
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
            faults.append(
                f"{attribute} is not marked as a hook: put @cluster_kit.hookimpl above it"
            )
    if faults:
        raise TypeError("; ".join(faults))
    if not hooks:
        raise TypeError(
            "it implements no hook: mark its functions with "
            f"@cluster_kit.hookimpl{_is_class(plugin)}"
        )
    return hooks


def _faults_of(name: str, function: Callable[..., Any], plugin: object) -> Iterator[str]:
    if name not in HOOKS:
        yield f"unknown hook {name!r}{did_you_mean(name, HOOKS)}"
        return
    if any(
        check(function)
        for check in (
            inspect.iscoroutinefunction,
            inspect.isasyncgenfunction,
            inspect.isgeneratorfunction,
        )
    ):
        yield f"{name} must be a plain function, neither async nor a generator"
    parameters = inspect.signature(function).parameters.values()
    if isinstance(plugin, type) and next((each.name for each in parameters), "") == "self":
        yield f"{name} is a method without its object{_is_class(plugin)}"
        return
    for parameter in parameters:
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            yield (
                f"{name} has the argument '{parameter}', which hooks cannot have: it may take "
                f"{_given_to(name)}"
            )
        elif parameter.name not in HOOKS[name]:
            yield (
                f"{name} has the argument {parameter.name!r}, which it is not given: it may take "
                f"{_given_to(name)}"
            )
        elif parameter.default is not parameter.empty:
            yield (
                f"{name} has a default for {parameter.name!r}, which would be used always: remove "
                "it"
            )


def _given_to(name: str) -> str:
    return ", ".join(HOOKS[name]) or "no arguments"


def _is_class(plugin: object) -> str:
    return (
        ": its entry point names a class; let it name an instance, or a module"
        if isinstance(plugin, type)
        else ""
    )


def checked_offers(kind: Offered, hook: str, offered: Any) -> dict[str, Any]:
    """Return what an offering hook answered, if it has the right shape."""
    if not isinstance(offered, Mapping):
        raise TypeError(
            f"{hook} returned {type(offered).__name__}: expected a mapping of name to class"
        )
    form, words = (
        (_COMMAND_NAME, "digits and '-'")
        if kind == "command"
        else (_OFFERED_NAME, "digits and '_'")
    )
    offers = dict(offered)
    for name, value in offers.items():
        if not isinstance(name, str) or not form.fullmatch(name):
            raise ValueError(
                f"{hook} offers {name!r:.80}: expected lower-case letters, {words}, such as "
                f"{_such_as(name, words)!r}"
            )
        _check_offer(kind, hook, name, value)
    return offers


def _such_as(name: object, words: str) -> str:
    """Return a name that would do, close to one that won't."""
    return (
        re.sub(r"[^a-z0-9]+", words[-2], str(name).lower()).strip("-_0123456789")[:40] or "finder"
    )


def _check_offer(kind: Offered, hook: str, name: str, value: Any) -> None:
    if kind == "spec":
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{hook} offers {name!r} as {type(value).__name__}: expected a mapping, as under "
                "topologies"
            )
    elif isinstance(value, str):
        if not is_target(value):
            raise ValueError(f"{hook} offers {name!r} as {value!r}: expected package.module:Class")
    elif kind != "command":
        check_class(value, CONTRACTS[kind], name)
