"""Runs one target under libFuzzer: ``python fuzz_engine.py TARGET [libFuzzer's arguments]``.

Coverage is that of cluster_kit only: what is written in C, such as msgspec and OpenSSL, is not seen
into. That is why targets say what form their inputs have, of which values are changed as well as
bytes.
"""

import shlex
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent))  # where the tests' own modules are

import atheris
from fuzz_target import Target, find, reformed


def fuzz(target: Target, arguments: list[str]) -> None:
    """Run until libFuzzer ends the process."""

    def change(data: bytes, max_bytes: int, seed: int) -> bytes:
        changed = reformed(target, data, Random(seed)) if seed % 2 else None
        return atheris.Mutate(data, max_bytes) if changed is None else changed[:max_bytes]

    def check(data: bytes) -> None:
        target.check(data)

    # libFuzzer has a shell start it again for each step of a merge
    again = shlex.join([sys.executable, __file__, target.name])
    options = [f"-max_len={target.max_bytes}", "-timeout=20", "-print_final_stats=1"]
    if target.form is None:
        atheris.Setup([again, *options, *arguments], check)
    else:
        atheris.Setup([again, *options, *arguments], check, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    with atheris.instrument_imports(include=["cluster_kit"]):
        chosen = find(sys.argv[1])
    fuzz(chosen, sys.argv[2:])
