"""Small modules, small functions, few positional arguments, names that say something."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*(ROOT / "cluster_kit").rglob("*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_TEST_LINES = 500
MAX_FUNCTION_LINES = 40
MAX_POSITIONAL = 5
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "core", "misc"}

Function = ast.FunctionDef | ast.AsyncFunctionDef

each_module = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))


def functions(path: Path) -> list[Function]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Function)]


def code_lines(path: Path, function: Function) -> int:
    """Count the lines that are neither blank, nor comment, nor docstring."""
    lines = path.read_text().splitlines()[function.lineno - 1 : function.end_lineno]
    docstring = ast.get_docstring(function, clean=False)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) - (
        sum(bool(line.strip()) for line in docstring.splitlines()) if docstring else 0
    )


def positional(function: Function) -> list[str]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in names if name not in ("self", "cls")]


@each_module
def test_module_is_small(path):
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES


def test_modules_of_tests_are_small():
    long = [path for path in TESTS if len(path.read_text().splitlines()) > MAX_TEST_LINES]
    assert long == []


@each_module
def test_functions_are_small(path):
    large = {
        function.name: lines
        for function in functions(path)
        if (lines := code_lines(path, function)) > MAX_FUNCTION_LINES
    }
    assert not large


@each_module
def test_functions_take_few_positional_arguments(path):
    many = {
        function.name: names
        for function in functions(path)
        if len(names := positional(function)) > MAX_POSITIONAL
    }
    assert not many


@each_module
def test_module_is_named_for_an_idea(path):
    assert not VAGUE_NAMES & {
        part.removesuffix(".py").strip("_") for part in path.relative_to(ROOT).parts
    }


def test_no_two_modules_of_tests_have_one_name():
    """Such as stand in different folders: run together, the second one is taken for the first."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
