"""Copies messages of a channel layer, and checks what they hold."""

from __future__ import annotations

from typing import Any

_SUITABLE = "expected None, bool, int, float, str, bytes, list, tuple or dict"


def plain_message(message: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares nothing with ``message``.

    Tuples become lists, and subclasses, such as Django's safe text, plain values.

    Raises:
        TypeError: It is not a dict, or a part of it has an unsupported type; the error says which.
        ValueError: It contains itself.
    """
    if not isinstance(message, dict):
        raise TypeError(f"message: {message!r:.80}: expected a dict")
    try:
        copied: dict[str, Any] = _plain(message, "message")
    except RecursionError as exc:
        raise ValueError("message: lists and dicts nested too deeply, or one in itself") from exc
    return copied


def _plain(value: Any, path: str) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return str.__str__(value)
        case int():
            return int(value)
        case float():
            return float(value)
        case bytes() | bytearray():
            return bytes(value)
        case list() | tuple():
            return [_plain(each, f"{path}[{number}]") for number, each in enumerate(value)]
        case dict():
            return {
                _key(key, path): _plain(each, f"{path}[{key!r:.80}]") for key, each in value.items()
            }
    raise TypeError(f"{path} is of type {type(value).__qualname__}: {_SUITABLE}")


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{path} has a key of type {type(key).__qualname__}: expected str")
    return str.__str__(key)
