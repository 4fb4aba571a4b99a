"""Fuzzes decoders under atheris, one after another, each in a process of its own.

Keeps in the corpus what reaches code that nothing else there reaches, so that the suite tries it
ever after.
"""

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # where the tests' own modules are

from fuzz_target import Target
from fuzz_targets import CORPUS, TARGETS, kept

HERE = Path(__file__).parent
CRASHES = HERE / "crashes"
MAX_FILES = 60  # of the corpus of a target
MAX_CORPUS_BYTES = 65536
MERGE_S = 120.0

_ENDING = (signal.SIGINT, signal.SIGTERM)
_STATISTIC = re.compile(r"stat::(\w+):\s+(\d+)")
_FEATURES = re.compile(r"\bft: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What came of a target: ``crash`` is the input that broke it, and ``last_words`` how."""

    runs: int
    features: int
    new: int
    total: int
    crash: Path | None = None
    last_words: str = ""


def main(arguments: Sequence[str]) -> int:
    """Return the exit code: 1 where a target broke."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        return replay(options.replay)
    if find_spec("atheris") is None:
        print(
            "atheris is not installed: run it as 'tox -e fuzz', which needs CPython 3.11 to 3.13 "
            "on Linux",
            file=sys.stderr,
        )
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        broken = [
            name for name in options.targets or TARGETS if not told(TARGETS[name], options.seconds)
        ]
    except KeyboardInterrupt:
        print("\ninterrupted; what was found of the last target is not kept", file=sys.stderr)
        return 130
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tox -e fuzz --",
        description=__doc__,
        epilog=(
            f"Targets: {', '.join(TARGETS)}. A new one is an entry of TARGETS in one of "
            "tests/fuzz/fuzz_*.py."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "seconds", nargs="?", type=_seconds, default=10, help="for each target; 10 by default"
    )
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", type=_target, help="all of them by default"
    )
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="try one input, from the folder of its target, and end",
    )
    return parser


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 6 and int(text) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected whole seconds, then targets, such as '60 frames tls'"
        )
    return int(text)


def _target(name: str) -> str:
    if name not in TARGETS:
        raise argparse.ArgumentTypeError(f"{name!r}: there are {', '.join(TARGETS)}")
    return name


def replay(file: Path) -> int:
    """Try one input, and let what it raises be seen."""
    target = TARGETS.get(file.absolute().parent.name)
    if target is None or not file.is_file():
        print(f"{file}: expected a file in a folder that has the name of a target", file=sys.stderr)
        return 2
    understood = target.check(file.read_bytes())
    print(
        f"{target.name}: all is well, the input "
        f"{'is understood' if understood else 'means nothing'}"
    )
    return 0


def told(target: Target, seconds: int) -> bool:
    """Fuzz a target and print what came of it; return whether it holds."""
    print(f"{target.name:18}", end="", flush=True)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ck-fuzz-") as folder:
        outcome = fuzzed(target, seconds, Path(folder))
    took_s = time.monotonic() - began_s
    print(
        f"{took_s:4.0f} s{outcome.runs:10} runs{outcome.features:6} features"
        f"{outcome.new:4} new of {outcome.total} in the corpus"
        f"{'  BROKEN' if outcome.last_words else ''}",
        flush=True,
    )
    if outcome.last_words:
        print(outcome.last_words)
    if outcome.crash is not None:
        print(f"replay it: tox -e fuzz -- --replay {outcome.crash}")
    return not outcome.last_words


def fuzzed(target: Target, seconds: int, folder: Path) -> Outcome:
    """Fuzz a target, and keep what is worth it; ``folder`` is for what is needed meanwhile."""
    for name in ("work", "seeds", "crash", "tmp"):
        (folder / name).mkdir()
    before = {path.name for path in kept(target)}
    for seed in target.seeds:
        (folder / "seeds" / name_of(seed)).write_bytes(seed)
    for path in kept(target):
        shutil.copy(path, folder / "work")
    code, said = run(
        target,
        [f"-max_total_time={seconds}", "-artifact_prefix=crash/", "work", "seeds"],
        folder,
        seconds + 60,
    )
    found = [
        path.read_bytes()
        for path in (folder / "crash").iterdir()
        if not path.name.startswith("slow-unit")
    ]
    broken = last_words(said) if code or found else ""
    if not broken:
        merged_code, merged = run(target, ["-merge=1", "seeds", "work"], folder, MERGE_S)
        broken = last_words(merged) if merged_code else ""
    if not broken:
        seeds = set(map(name_of, target.seeds))
        keep(
            target,
            (path.read_bytes() for path in (folder / "seeds").iterdir() if path.name not in seeds),
        )
    after = {path.name for path in kept(target)}
    statistics = dict(_STATISTIC.findall(said))
    return Outcome(
        runs=int(statistics.get("number_of_executed_units", 0)),
        features=max(map(int, _FEATURES.findall(said)), default=0),
        new=len(after - before),
        total=len(after),
        crash=saved(target, found[0]) if found else None,
        last_words=broken,
    )


def run(
    target: Target, arguments: Sequence[str], folder: Path, timeout_s: float
) -> tuple[int, str]:
    """Run libFuzzer in ``folder``; return its exit code and output, and always clean up."""
    environ = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    # so that none comes when it has been started and is not known yet
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        process = subprocess.Popen(
            [sys.executable, str(HERE.absolute() / "fuzz_engine.py"), target.name, *arguments],
            cwd=folder,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as exc:
            return (
                1,
                (
                    f"{(exc.output or b'').decode(errors='replace')}\nit did not end within "
                    f"{timeout_s:g} s"
                ),
            )
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    return process.returncode, said


def last_words(said: str) -> str:
    """Return what matters of libFuzzer's output: all from the exception on, without progress."""
    start = max(0, said.find("=== Uncaught Python exception"))
    lines = [
        line for line in said[start:].splitlines() if not re.match(r"#\d+\s|stat::|INFO: ", line)
    ]
    return "\n".join(lines[-60:]) or "it ended without a word"


def keep(target: Target, inputs: Iterable[bytes]) -> None:
    """Make ``inputs`` the corpus of a target, the small ones first, as far as there is room."""
    folder = CORPUS / target.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for data in bounded(inputs):
        (folder / name_of(data)).write_bytes(data)


def bounded(inputs: Iterable[bytes]) -> list[bytes]:
    """Return as many of ``inputs`` as a corpus may have, the small ones first."""
    chosen: list[bytes] = []
    room_bytes = MAX_CORPUS_BYTES
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        room_bytes -= len(data)
        if len(chosen) == MAX_FILES or room_bytes < 0:
            break
        chosen.append(data)
    return chosen


def saved(target: Target, data: bytes) -> Path:
    """Write an input that broke a target to where it stays, and return the file."""
    file = CRASHES / target.name / name_of(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def name_of(data: bytes) -> str:
    """Return what a file with this content is called."""
    return hashlib.sha256(data).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
