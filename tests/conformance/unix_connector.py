"""The connector over Unix sockets that ``cluster-kit new connector`` writes, and its suite."""

import importlib.util
import sys
import tempfile
from pathlib import Path, PurePosixPath

from cluster_kit.cli.new.distribution import distribution

FILES = distribution("connector", "unix")


def load(path, **known):
    """Return a module of the new distribution, which imports the modules in ``known`` by name."""
    with tempfile.TemporaryDirectory(prefix="unix-") as folder:
        file = Path(folder, "written.py")
        file.write_text(FILES[PurePosixPath(path)])
        spec = importlib.util.spec_from_file_location(f"written_{PurePosixPath(path).stem}", file)
        module = importlib.util.module_from_spec(spec)
        sys.modules.update({spec.name: module, **known})
        spec.loader.exec_module(module)
    return module


written = load("src/cluster_kit_unix/unix.py")
UnixConnector = written.UnixConnector
UnixConnector.__module__ = __name__  # where a process of its own finds it
Link = written.Link
UnixSuite = load("tests/test_unix.py", **{"cluster_kit_unix.unix": written}).TestUnix
