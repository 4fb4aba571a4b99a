"""Builds the core and every plugin as a wheel, and tests each plugin in a fresh environment of its
own.

So it does with a new plugin of each kind, as ``cluster-kit new`` of the core's wheel writes it.

``python .ci/test_plugins.py DIRECTORY``: wheels and environments are made in DIRECTORY. Passing is
the proof that the published contract is enough for a plugin.
"""

import os
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(directory: Path) -> int:
    """Test all plugins, side by side because they mostly wait for a package index; return how many
    failed.
    """
    core = build(ROOT, directory / "wheels")
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    plugins += generated(core, directory / "new")
    with ThreadPoolExecutor(3) as pool:
        passed = list(pool.map(partial(passes, core=core, directory=directory), plugins))
    failed = [plugin.name for plugin, good in zip(plugins, passed, strict=True) if not good]
    print(f"plugins failed: {', '.join(failed) or 'none'}", flush=True)
    return len(failed)


def generated(core: Path, directory: Path) -> list[Path]:
    """Return a new plugin of each kind."""
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory / "venv", with_pip=True)
    run(str(directory / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", str(core))
    command = str(directory / "venv" / "bin" / "cluster-kit")
    plugins = []
    for kind in ("strategy", "registry", "connector", "topology", "observer", "command"):
        plugins.append(directory / f"cluster-kit-new-{kind}")
        run(command, "new", kind, f"new_{kind}", "--directory", str(plugins[-1]))
    return plugins


def build(project: Path, wheels: Path) -> Path:
    """Build a project's wheel, and nothing else, and return it."""
    out = wheels / project.name
    shutil.rmtree(out, ignore_errors=True)
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--outdir",
        str(out),
        str(project),
        stdout=subprocess.DEVNULL,
    )
    return next(out.glob("*.whl"))


def passes(plugin: Path, core: Path, directory: Path) -> bool:
    """Install both wheels into a fresh environment and run the plugin's own tests from a folder
    without its sources.
    """
    wheel = build(plugin, directory / "wheels")
    own = directory / plugin.name
    shutil.rmtree(own, ignore_errors=True)
    venv.create(own / "venv", with_pip=True)
    python = str(own / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", f"{core}[testing]", f"{wheel}[test]")
    for name in ("tests", "pyproject.toml", "README.md"):
        copy(plugin / name, own / "copy" / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider"]
    tests = subprocess.run(
        command,
        cwd=own / "copy",
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(f"{plugin.name}: tested {wheel.name} beside {core.name}\n{tests.stdout}", flush=True)
    return tests.returncode == 0


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run(*command: str, stdout: int | None = None) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
