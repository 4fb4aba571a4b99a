"""All fuzz targets, and what was kept of their inputs."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from fuzz_target import MODULES, Target

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, Target] = {
    target.name: target for module in MODULES for target in import_module(module).TARGETS
}


def kept(target: Target) -> Iterator[Path]:
    """Yield the files of the corpus of ``target``, in the order of their names."""
    yield from sorted((CORPUS / target.name).glob("[0-9a-f]*"))
