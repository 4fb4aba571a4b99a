"""Every public name with its signature; ``python tests/test_public_api.py`` writes them anew."""

import ast
import enum
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_kit

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def describe(name: str, value: object) -> Iterator[str]:
    """Yield a line for a public name, and one for each public member of a class of ours."""
    if not inspect.isclass(value):
        yield f"{name}{_signature(value)}"
        return
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})" if bases else f"class {name}"
    if issubclass(value, enum.Enum):
        yield from (f"    {name}.{member.name} = {member.value}" for member in value)
        return
    if typing.is_typeddict(value):
        yield from (
            f"    {name}[{key}]: {_kind(kind)}" for key, kind in value.__annotations__.items()
        )
        return
    yield f"    {name}{_signature(value)}"
    for member, found in _members(value):
        yield f"    {name}.{member}{_signature(found)}"


def _kind(annotation: object) -> str:
    """Return an annotation as it is written."""
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    return re.sub(r"[\w.]+\.(\w+)", r"\1", inspect.formatannotation(annotation))


def _members(cls: type) -> list[tuple[str, object]]:
    ours = [base for base in cls.__mro__ if base.__module__.startswith("cluster_kit")]
    names = {name for base in ours for name in vars(base) if not name.startswith("_")}
    return [(name, inspect.getattr_static(cls, name)) for name in sorted(names)]


def _signature(value: object) -> str:
    """Return the signature of a function or class of ours; nothing for anything else."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if inspect.isclass(value) or inspect.isfunction(value):
        # of a NamedTuple
        return re.sub(r"ForwardRef\((\w+)\)", r"\1", str(inspect.signature(value)).replace("'", ""))
    return f" = {value}" if isinstance(value, types.UnionType) else ""


def current() -> str:
    names = [name for name in cluster_kit.__all__ if name != "__version__"]
    return (
        "\n".join(line for name in names for line in describe(name, getattr(cluster_kit, name)))
        + "\n"
    )


@pytest.mark.parametrize("name", cluster_kit.__all__)
def test_name_can_be_imported(name):
    assert getattr(cluster_kit, name) is not None


def test_names_and_signatures_are_as_promised():
    assert current() == SNAPSHOT.read_text(), (
        f"if the change is meant, run: python {Path(__file__).relative_to(Path.cwd())}"
    )


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = cluster_kit.nonsense


@pytest.mark.parametrize(
    "path", ["__init__.py", "testing/__init__.py", "testing/simulation/__init__.py"]
)
def test_type_checkers_see_every_name(path):
    tree = ast.parse((Path(cluster_kit.__file__).parent / path).read_text())
    seen = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    promised = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "__all__"
    )
    assert set(promised) <= seen


if __name__ == "__main__":
    SNAPSHOT.write_text(current())
