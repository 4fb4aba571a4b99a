"""Builds the core and every plugin as a wheel, and tests each plugin in a fresh environment of its own.

So it does with a new plugin of each kind, as ``cluster-kit new`` of the core's wheel writes it.

``python .ci/test_plugins.py DIRECTORY``: wheels and environments are made in DIRECTORY. Passing is the proof that the published
contract is enough for a plugin.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(directory: Path) -> int:
    """Test all plugins; return how many failed."""
    failed = []
    core = build(ROOT, directory / "wheels")
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    for plugin in [*plugins, *generated(core, directory / "new")]:
        wheel = build(plugin, directory / "wheels")
        print(f"{plugin.name}: testing {wheel.name} beside {core.name}", flush=True)
        if not passes(plugin, core, wheel, directory / plugin.name):
            failed.append(plugin.name)
    print(f"plugins failed: {', '.join(failed) or 'none'}", flush=True)
    return len(failed)


def generated(core: Path, directory: Path) -> list[Path]:
    """Return a new plugin of each kind."""
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory / "venv", with_pip=True)
    run(str(directory / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", str(core))
    command = str(directory / "venv" / "bin" / "cluster-kit")
    plugins = []
    for kind in ("strategy", "connector", "topology", "observer", "command"):
        plugins.append(directory / f"cluster-kit-new-{kind}")
        run(command, "new", kind, f"new_{kind}", "--directory", str(plugins[-1]))
    return plugins


def build(project: Path, wheels: Path) -> Path:
    """Build a project's wheel, and nothing else, and return it."""
    out = wheels / project.name
    shutil.rmtree(out, ignore_errors=True)
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(project), stdout=subprocess.DEVNULL)
    return next(out.glob("*.whl"))


def passes(plugin: Path, core: Path, wheel: Path, directory: Path) -> bool:
    """Install both wheels into a fresh environment and run the plugin's own tests from a folder without its sources."""
    shutil.rmtree(directory, ignore_errors=True)
    venv.create(directory / "venv", with_pip=True)
    python = str(directory / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", f"{core}[testing]", f"{wheel}[test]")
    for name in ("tests", "pyproject.toml", "README.md"):
        copy(plugin / name, directory / "copy" / name)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=directory / "copy", env=environment, check=False).returncode == 0


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
