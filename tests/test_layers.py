"""Imports point down only; what a lower layer needs from a higher one comes in as an argument."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cluster_kit

PACKAGE = Path(cluster_kit.__file__).parent

# From the bottom up. Parts in one string with bars between them are strangers to each other.
LAYERS = (
    "errors _version attended throttle resolving netdevice host",
    "node events",
    "network",
    "abc answers config diagnosis wire",
    "hookspecs",
    "admission installed",
    "strategies | connectors | topologies | membership",
    "plugins",
    "pipe",
    "worker",
    "supervisor",
    "cli testing __pyinstaller",
)
LEVEL_OF = {part: level for level, row in enumerate(LAYERS) for part in row.replace("|", " ").split()}
STRANGERS = {part for row in LAYERS if "|" in row for part in row.replace("|", " ").split()}
# What runs on a ``Network`` and an event loop alone, so that it runs in a simulation as well
SIMULATED = ("worker",)
THE_PROCESS = ("worker/__main__.py", "worker/run.py", "worker/process.py", "worker/mark.py", "worker/frozen.py")
OUTSIDE = {"socket", "select", "selectors", "ssl", "time", "datetime", "random", "secrets", "uuid", "threading", "subprocess"}
OUR_OUTSIDE = ("cluster_kit.resolving", "cluster_kit.netdevice", "cluster_kit.network.")

FACADE = PACKAGE / "__init__.py"  # names everything for type checkers, imports nothing

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != FACADE)


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of everything of ours that a module imports, at its top, in functions or for type checkers."""
    package = ["cluster_kit", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "cluster_kit" else [module]
        else:
            continue
        yield from ((node.lineno, name) for name in names if name.split(".")[0] == "cluster_kit")


def faults(path: Path) -> Iterator[str]:
    importer = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for line, name in imports(path):
        where = f"{path.relative_to(PACKAGE.parent)}:{line}: {importer} imports {name}"
        if name == "cluster_kit" or part_of(name) not in LEVEL_OF:
            yield f"{where}: import from the module that defines it"
            continue
        imported = part_of(name)
        if imported != importer and {imported, importer} <= STRANGERS:
            yield f"{where}: these are strangers to each other"
        elif LEVEL_OF[imported] > LEVEL_OF[importer]:
            yield f"{where}: that points up"


def test_every_module_has_its_layer():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts <= LEVEL_OF.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    assert not list(faults(path))


def outside(source: str) -> Iterator[str]:
    """Yield what a module knows of the world outside of its network; the class ``Random`` alone is nothing but a type."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in OUTSIDE or is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom) and node.module and (node.module in OUTSIDE or is_ours(node.module)):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "Random")
        elif isinstance(node, ast.Attribute) and node.attr in ("urandom", "getrandom"):
            yield node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Random":
            yield "Random()"


def is_ours(module: str) -> bool:
    return module.startswith(OUR_OUTSIDE)


SIMULATED_MODULES = [
    path
    for path in MODULES
    if str(path.relative_to(PACKAGE)).startswith(SIMULATED) and str(path.relative_to(PACKAGE)) not in THE_PROCESS
]


@pytest.mark.parametrize("path", SIMULATED_MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_runs_on_a_network_knows_no_other_way_to_the_outside(path):
    assert not list(outside(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "def late():\n    from time import monotonic",
        "import os\nos.urandom(8)",
        "from random import Random\nRandom()",
        "from cluster_kit.network.system import SystemNetwork",
        "from cluster_kit.resolving import resolve",
    ],
)
def test_another_way_to_the_outside_is_found(source):
    assert len(list(outside(source))) == 1


def test_the_network_itself_and_the_type_of_its_randomness_are_fine():
    assert not list(outside("from random import Random\nfrom cluster_kit.network import Network"))


def test_an_upward_import_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("test_layers.PACKAGE", tmp_path / "cluster_kit")
    offender = tmp_path / "cluster_kit" / "strategies" / "offender.py"
    offender.parent.mkdir(parents=True)
    offender.write_text(
        "from cluster_kit.node import Node\n"
        "from cluster_kit.connectors import none\n"
        "def late():\n    from ..worker import run\n"
        "import cluster_kit\n"
    )
    assert [fault.split(": ", 1)[0].rpartition(":")[2] for fault in faults(offender)] == ["2", "5", "4"]


# -- what reaches the outside by the network that it is given, and by no way of its own ----------------------------------------

# Each of these runs in a simulation as it is: no real socket, clock, thread or randomness may leak into it.
ON_THE_SEAM = ("connectors/tcp",)
WAYS_OUT = (
    "socket ssl select selectors resource fcntl",
    "time datetime",
    "random secrets uuid os.urandom os.getrandom",
    "threading multiprocessing subprocess signal os.fork os.getpid",
    "cluster_kit.resolving cluster_kit.netdevice cluster_kit.network.system",
)
OUTSIDE = {name for row in WAYS_OUT for name in row.split()}


def leaks(path: Path) -> Iterator[str]:
    """Yield each import of a module that reaches the outside, and each use of such a part of ``os``."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(module)):
                names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
            case ast.Attribute(value=ast.Name(id="os"), attr=attr):
                names = [f"os.{attr}"]
            case _:
                continue
        for name in names:
            if name in OUTSIDE:
                yield f"{path.name}:{node.lineno}: {name} is outside: use the network that is passed in"


@pytest.mark.parametrize("path", [path for part in ON_THE_SEAM for path in sorted((PACKAGE / part).rglob("*.py"))], ids=str)
def test_what_is_on_the_seam_reaches_the_outside_by_no_other_way(path):
    assert not list(leaks(path))


def test_a_leak_is_found(tmp_path):
    offender = tmp_path / "offender.py"
    offender.write_text(
        "import asyncio, socket\n"
        "from random import Random\n"
        "from cluster_kit import resolving\n"
        "import os\n"
        "def late():\n    import time\n    return os.urandom(8)\n"
        "from os import getrandom\n"
    )
    assert sorted(leak.split(":")[1] for leak in leaks(offender)) == ["1", "2", "3", "6", "7", "8"]
