"""All fuzz targets, and what was kept of their inputs."""

from collections.abc import Iterator
from pathlib import Path

import fuzz_datagrams
import fuzz_discovery
import fuzz_files
import fuzz_kubernetes
import fuzz_links
import fuzz_processes
from fuzz_target import Target

CORPUS = Path(__file__).parent / "corpus"
TARGETS: dict[str, Target] = {
    target.name: target
    for module in (fuzz_links, fuzz_datagrams, fuzz_discovery, fuzz_kubernetes, fuzz_processes, fuzz_files)
    for target in module.TARGETS
}


def kept(target: Target) -> Iterator[Path]:
    """Yield the files of the corpus of ``target``, in the order of their names."""
    yield from sorted((CORPUS / target.name).glob("[0-9a-f]*"))
