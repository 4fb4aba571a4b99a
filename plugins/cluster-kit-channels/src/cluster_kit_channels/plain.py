"""What a message of a channel layer may hold, copied out of whatever the application gave."""

from __future__ import annotations

from typing import Any

_SUITABLE = "expected None, bool, int, float, str, bytes, list, tuple or dict"


def plain_message(message: dict[str, Any]) -> dict[str, Any]:
    """Return a copy that shares nothing with ``message``; tuples become lists, and safe text, say,
    plain text.

    Raises:
        TypeError: It is no dict, or a part of it, which is named, is of another type.
        ValueError: It holds itself.
    """
    if not isinstance(message, dict):
        raise TypeError(f"message: {message!r:.80}: expected a dict")
    try:
        copied: dict[str, Any] = _plain(message, "message")
    except RecursionError as exc:
        raise ValueError(
            "message: too many lists and dicts in one another, or one that holds itself"
        ) from exc
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
