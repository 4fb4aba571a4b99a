"""Imports point down, in no circle; what a lower layer needs from a higher one is an argument."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import cluster_kit

PACKAGE = Path(cluster_kit.__file__).parent

# From the bottom up. Parts in one string with bars between them are strangers to each other.
LAYERS = (
    "fault errors _version payloads attended throttle rate_limit retry resolving netdevice host",
    "node events rendezvous duty",
    "network",
    "observations confirmations polling reporter abc config diagnosis wire registry security",
    "hookspecs",
    "strategies | connectors | topologies | membership | topics",
    "plugins",
    "pipe",
    "worker",
    "supervisor",
    "cli testing __pyinstaller",
)
LEVEL_OF = {
    part: level for level, row in enumerate(LAYERS) for part in row.replace("|", " ").split()
}
STRANGERS = {part for row in LAYERS if "|" in row for part in row.replace("|", " ").split()}
FACADE = PACKAGE / "__init__.py"  # names everything for type checkers, imports nothing

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != FACADE)


def part_of(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of each import of ours, at the top, in functions, or for types."""
    package = ["cluster_kit", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (start, node.module)))
            names = (
                [f"{module}.{alias.name}" for alias in node.names]
                if module == "cluster_kit"
                else [module]
            )
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
    lines = [fault.split(": ", 1)[0].rpartition(":")[2] for fault in faults(offender)]
    assert lines == ["2", "5", "4"]


# -- circles, also inside a folder ----------------------------------------------------------------

# The modules of one row name each other's types, or import each other late. When they are loaded,
# none of them needs one that needs it.
LATE_CIRCLES = (
    "cli cli.commands",
    "connectors.callback connectors.callback.links",
    "registry registry.entry registry.run",
    "supervisor.calls supervisor.loop supervisor.worker_supervisor",
    "supervisor.topics.router supervisor.topics.subscription supervisor.topics.switchboard",
    "testing.memory.datagrams testing.memory.host testing.memory.network",
    "testing.memory.dialing testing.memory.host testing.memory.streams",
    "testing.virtual_time.loop testing.virtual_time.timeline",
    "topics.link topics.local topics.peers",
)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def when_loaded(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is loaded: nothing in functions, nor for type checkers."""
    for child in ast.iter_child_nodes(node):
        is_late = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        if not (is_late or is_for_types):
            yield child
            yield from when_loaded(child)


def graph_of(paths: list[Path], *, loaded: bool) -> dict[str, set[str]]:
    """Return the modules that each module imports; ``loaded``: only what it needs to be loaded."""
    names = {name_of(path) for path in paths}
    graph: dict[str, set[str]] = {}
    for path in paths:
        importer = name_of(path)
        tree = ast.parse(path.read_text())
        graph[importer] = set()
        for node in when_loaded(tree) if loaded else ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{importer}:{node.lineno}: write the whole name"
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
                found = [name if name in names else str(node.module) for name in modules]
            else:
                continue
            graph[importer] |= {name for name in found if name in names and name != importer}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first repeated; or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        return list(exc.args[1])
    return []


def test_no_module_needs_one_that_needs_it():
    assert circle_in(graph_of(MODULES, loaded=True)) == []


def test_no_other_imports_go_in_a_circle():
    graph = graph_of(MODULES, loaded=False)
    for row in LATE_CIRCLES:
        modules = {f"cluster_kit.{name}" for name in row.split()}
        among_them = {name: graph.get(name, set()) & modules for name in modules}
        assert circle_in(among_them), f"no circle any more: remove {row!r} from LATE_CIRCLES"
        for name in modules:
            graph[name] -= modules
    assert circle_in(graph) == []


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("from cluster_kit.ring.one import One", True),
        ("from cluster_kit.ring import one", True),
        ("import cluster_kit.ring.one", True),
        ("class Late:\n    from cluster_kit.ring.one import One", True),
        ("def late():\n    from cluster_kit.ring.one import One", False),
        ("if TYPE_CHECKING:\n    from cluster_kit.ring.one import One", False),
    ],
)
def test_a_circle_is_found(tmp_path, monkeypatch, statement, needed):
    monkeypatch.setattr("test_layers.PACKAGE", tmp_path / "cluster_kit")
    ring = tmp_path / "cluster_kit" / "ring"
    ring.mkdir(parents=True)
    (ring / "one.py").write_text("from cluster_kit.ring.two import Two\n")
    (ring / "two.py").write_text("from cluster_kit.ring import Three\n")
    (ring / "__init__.py").write_text(f"{statement}\n")
    paths = sorted(ring.glob("*.py"))
    circle = set(circle_in(graph_of(paths, loaded=False)))
    assert circle == {"cluster_kit.ring", "cluster_kit.ring.one", "cluster_kit.ring.two"}
    assert bool(circle_in(graph_of(paths, loaded=True))) is needed


# -- what reaches the outside by the network that it is given, and by no way of its own ------------

# Each of these runs in a simulation as it is: no real socket, clock, thread or randomness may leak
# into it.
ON_THE_SEAM = ("connectors/tcp", "strategies/gossip", "worker")
# modules of the worker that a simulation does without
OF_THE_PROCESS = ("__main__", "environment", "freeze_support", "host_process", "run")
WAYS_OUT = (
    "socket ssl select selectors resource fcntl",
    "time datetime",
    "random secrets uuid os.urandom os.getrandom",
    "threading multiprocessing subprocess signal os.fork os.getpid",
    "cluster_kit.resolving cluster_kit.netdevice cluster_kit.network.system",
)
OUTSIDE = {name for row in WAYS_OUT for name in row.split()}


def leaks(path: Path) -> Iterator[str]:
    """Yield each import that reaches the outside, and each use of such a part of ``os``."""
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
                yield (
                    f"{path.name}:{node.lineno}: {name} is outside: use the network that is passed "
                    "in"
                )


def on_the_seam() -> list[Path]:
    paths = [path for part in ON_THE_SEAM for path in sorted((PACKAGE / part).rglob("*.py"))]
    return [
        path for path in paths if not (path.parent.name == "worker" and path.stem in OF_THE_PROCESS)
    ]


@pytest.mark.parametrize("path", on_the_seam(), ids=str)
def test_module_on_the_seam_reaches_the_outside_only_through_it(path):
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
