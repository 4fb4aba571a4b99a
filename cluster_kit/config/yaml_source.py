"""Reads a YAML file into a ``Document``: data, the place of each value, ``${...}`` expanded.

A hostile or broken file gives an error of one line: size, depth and aliases are bounded, and
nothing in a file is ever executed. Whether the data makes sense is checked elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster_kit.config.document import Document, MisreadNumberError, Place
from cluster_kit.config.expand import expand
from cluster_kit.errors import ConfigError
from cluster_kit.fault import Fault, KeyPath

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32  # the parser's recursion overflows the C stack at some ten thousand levels
MAX_VALUES = 100_000  # after resolving aliases, which an alias bomb multiplies

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_STR, _NULL, _MAP, _SEQ, _MERGE = (_TAG + name for name in ("str", "null", "map", "seq", "merge"))
_HOW_TO_WRITE = "quote it if it is text, or write it without leading zeros and colons"
_CURE_OF_REFERENCE = "write the ${...} without { } and [ ] around it, or quote it"
# Matches names that PyYAML quotes from the file, but not its own such as '<scalar>'. They are not
# shown, as a secret that begins with '*' or '!' looks like a name.
_QUOTED_NAME = re.compile(r" '[^'<]{2,}'", re.DOTALL)
_BLOCKS = re.compile(r" *(?:[-?:] +)*")
# other scalars, such as dates, stay text
_TYPED = frozenset((_NULL, _TAG + "bool", _TAG + "int", _TAG + "float"))


def read_yaml(
    file: str, environ: Mapping[str, str], *, expected: str = "a mapping with the key 'topologies'"
) -> Document:
    """Read a configuration file, or another YAML file whose content is ``expected``.

    Raises:
        ConfigError: It can't be read, or isn't one YAML document.
    """
    text = _read_text(file)
    try:
        _check_depth(file, text)
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.YAMLError as exc:
        raise _syntax_error(file, text, exc) from exc
    if node is None or node.tag == _NULL:
        raise ConfigError(f"the file is empty: expected {expected}", file=file)
    return _TreeReader(file, loader, environ).read(node)


def _read_text(file: str) -> str:
    if not file:
        raise ConfigError("the path of the file is empty: is a shell variable unset?")
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise ConfigError(f"cannot read the file: {why}", file=file) from exc
    if len(content) > MAX_BYTES:
        what = f"the file has more than {MAX_BYTES} bytes"
        raise ConfigError(f"{what}: is it really a configuration?", file=file)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        what = "the file is not UTF-8: save it in that encoding"
        raise ConfigError(what, file=file, line=line) from exc


def _check_depth(file: str, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_deep(file, event.start_mark)


def _too_deep(file: str, mark: Any) -> ConfigError:
    message = f"nested deeper than {MAX_DEPTH} levels: flatten it; an alias must not contain itself"
    return ConfigError(message, file=file, line=mark.line + 1, column=mark.column + 1)


def _syntax_error(file: str, text: str, exc: yaml.YAMLError) -> ConfigError:
    mark = getattr(exc, "problem_mark", None)
    if mark is None:
        return ConfigError(f"not valid YAML: {getattr(exc, 'reason', exc)}", file=file)
    line = "".join(text.split("\n")[mark.line : mark.line + 1])
    if _depth_within(line[: mark.column]) > MAX_DEPTH:
        return _too_deep(file, mark)  # the parser reads a line ahead, and has a limit of its own
    if line[mark.column : mark.column + 1] == "\t":  # tabs within { } and [ ] are fine
        problem, cure = "a tab cannot indent", "replace the tab with spaces"
    else:
        said = (getattr(exc, "context", None), getattr(exc, "problem", None))
        problem = _QUOTED_NAME.sub("", ", ".join(filter(None, said)))
        cure = _CURE_OF_REFERENCE if "${" in line else ""
    fault = Fault((), f"not valid YAML: {problem}", cure)
    return ConfigError(fault, file=file, line=mark.line + 1, column=mark.column + 1)


def _depth_within(line: str) -> int:
    """Return how many collections a line opens and doesn't close."""
    blocks = _BLOCKS.match(line)
    flows = sum(map(line.count, "[{")) - sum(map(line.count, "]}"))
    return flows + (len(blocks[0].split()) if blocks else 0)


class _TreeReader:
    """Turns the tree of YAML nodes of one file into a ``Document``."""

    def __init__(self, file: str, loader: Any, environ: Mapping[str, str]) -> None:
        self._file = file
        self._loader = loader
        self._environ = environ
        self._keys: dict[KeyPath, Place] = {}
        self._values: dict[KeyPath, Place] = {}
        self._expanded: dict[KeyPath, str] = {}
        self._errors: list[ConfigError] = []
        self._left = MAX_VALUES

    def read(self, root: yaml.Node) -> Document:
        data = self._value(root, (), 0)
        return Document(
            data=data,
            file=self._file,
            keys=self._keys,
            values=self._values,
            errors=tuple(self._errors),
        )

    def _value(self, node: Any, path: KeyPath, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            what = f"more than {MAX_VALUES} values, aliases included: too many for a configuration"
            raise self._error(what, node, ())
        if depth > MAX_DEPTH:
            raise _too_deep(self._file, node.start_mark)
        value = self._content(node, path, depth)
        # last, as the values merged into a mapping were recorded at the same path
        self._values[path] = _place(node)._replace(expanded=self._expanded.pop(path, None))
        return value

    def _content(self, node: Any, path: KeyPath, depth: int) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if node.tag not in {_MAP, _SEQ}:
            return self._unsupported_tag(node, path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        items = enumerate(node.value)
        return [self._value(item, (*path, index), depth + 1) for index, item in items]

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        """Read a mapping; merges (``<<``) come first, so that its own keys win."""
        data: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                data |= self._merged(value, path, depth)
        for key, value in self._own_items(node, path):
            self._keys[*path, key.value] = _place(key)
            data[key.value] = self._value(value, (*path, key.value), depth + 1)
        return data

    def _merged(self, node: Any, path: KeyPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for base in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):
            value = self._value(base, path, depth + 1)
            if isinstance(value, dict):
                data |= value
            else:
                what = "'<<' merges mappings only: expected an alias of one"
                self._errors.append(self._error(what, base, path))
        return data

    def _own_items(self, node: yaml.MappingNode, path: KeyPath) -> list[tuple[Any, Any]]:
        """Return the usable keys with their values; of duplicate keys, the first counts."""
        items: dict[str, tuple[Any, Any]] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode) or key.tag in _TYPED:
                shown = key.value[:80] if isinstance(key, yaml.ScalarNode) else "of several values"
                self._errors.append(self._error(f"key {shown} is not text: quote it", key, path))
            elif "${" in key.value:
                message = "keys are never expanded: write it without ${...}"
                self._errors.append(self._error(message, key, (*path, key.value)))
            elif key.value in items:
                first = _place(items[key.value][0])
                where = f"{self._file}:{first.line}:{first.column}"
                message = f"duplicate key: given first at {where}; remove one of them"
                self._errors.append(self._error(message, key, (*path, key.value)))
            else:
                items[key.value] = (key, value)
        return list(items.values())

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        """Return a scalar's value, or its error."""
        implied = self._resolve(node, node.value)
        if node.tag not in {implied, _STR}:
            return self._unsupported_tag(node, path)
        try:
            text = expand(node.value, self._environ) if node.tag == _STR else node.value
            self._expanded[path] = text
            tag = self._resolve(node, text) if text != node.value else node.tag
            if tag not in _TYPED:
                return text
            value = self._loader.construct_object(yaml.ScalarNode(tag, text))
        except ValueError as exc:
            return self._error(str(exc), node, path)
        if type(value) in (int, float) and _is_misread(text, value):
            given = "" if text == node.value else f"{node.value} is {text[:80]}; "
            message = f"{given}YAML 1.1 reads {text[:80]} as {value}: {_HOW_TO_WRITE}"
            return MisreadNumberError(Fault(path, message), **self._where(node))
        return value

    def _unsupported_tag(self, node: yaml.Node, path: KeyPath) -> ConfigError:
        """Return the error; a secret that begins with '!' looks like a tag, and isn't shown."""
        is_secret = path[:1] in (("secret",), ("previous_secrets",))
        tag = "a tag" if is_secret else f"tag {node.tag[:80]!r}"
        return self._error(f"{tag} is not supported: leave it out", node, path)

    def _resolve(self, node: yaml.ScalarNode, text: str) -> Any:
        """Return the tag that YAML gives to ``text`` in the style of ``node``."""
        return self._loader.resolve(yaml.ScalarNode, text, (not node.style, bool(node.style)))

    def _error(self, message: str, node: Any, path: KeyPath) -> ConfigError:
        return ConfigError(Fault(path, message), **self._where(node))

    def _where(self, node: Any) -> dict[str, Any]:
        place = _place(node)
        return {"file": self._file, "line": place.line, "column": place.column}


def _is_misread(text: str, value: float) -> bool:
    """Whether YAML 1.1 reads ``text`` as base 8 or 60, where people read another number."""
    digits = text.lstrip("+-").replace("_", "")
    return ":" in text or (digits.isdecimal() and int(digits) != abs(value))


def _place(node: Any) -> Place:
    scalar = isinstance(node, yaml.ScalarNode)
    mark = node.start_mark
    text = node.value if scalar else None
    return Place(mark.line + 1, mark.column + 1, text, scalar and bool(node.style))
