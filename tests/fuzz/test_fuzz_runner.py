"""The fuzzing command: its arguments, the inputs it keeps, and that it cleans up."""

import os
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import psutil
import pytest
from fuzz_targets import TARGETS
from waiting import until

from cluster_kit.wire import frames

HERE = Path(__file__).parent

STAND_IN = """
import shutil
import sys
import time
from contextlib import nullcontext
from pathlib import Path

def instrument_imports(include):
    return nullcontext()

def Setup(arguments, check, custom_mutator=None):
    global given, try_one
    given, try_one = arguments, check

def Fuzz():
    if "-merge=1" in given:
        shutil.copytree("work", "seeds", dirs_exist_ok=True)
        sys.exit()
    if "-max_total_time=600" in given:
        time.sleep(600)
    Path("work", "new").write_bytes(b"v12345")
    for file in Path("work").iterdir():
        try_one(file.read_bytes())
    print("#7 DONE ft: 9 corp: 1")
    print("stat::number_of_executed_units: 7")
"""


def loaded():
    """Return the command as a module, which it isn't by its name."""
    spec = spec_from_file_location("fuzz_command", HERE / "__main__.py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks there
    spec.loader.exec_module(module)
    return module


command = loaded()


@pytest.fixture
def environ(tmp_path):
    """Return an environment with a temporary folder and a stand-in for atheris."""
    for name in ("passing", "modules"):
        (tmp_path / name).mkdir()
    (tmp_path / "modules" / "atheris.py").write_text(STAND_IN)
    paths = [str(tmp_path / "modules"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"TMPDIR": str(tmp_path / "passing"), "PYTHONPATH": os.pathsep.join(paths)}


def test_corpus_has_room_for_the_small_ones():
    inputs = [bytes(size) for size in range(3000)]
    chosen = command.bounded(inputs)
    assert chosen == inputs[: command.MAX_FILES]
    assert command.bounded([bytes(command.MAX_CORPUS_BYTES - 1), b"a", b"b", b"a"]) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["0"], "expected whole seconds"),
        (["frames"], "expected whole seconds"),
        (["5", "frame"], "there are frames, "),
    ],
)
def test_wrong_arguments_are_reported(arguments, told, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


def test_help_names_the_targets(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in TARGETS)


def test_input_is_tried_again(tmp_path, capsys):
    file = tmp_path / "frames" / "x"
    file.parent.mkdir()
    file.write_bytes(TARGETS["frames"].seeds[0])
    assert command.main(["--replay", str(file)]) == 0
    assert "is understood" in capsys.readouterr().out
    assert command.main(["--replay", str(file.parent)]) == 2


def test_input_that_breaks_a_target_is_kept_and_shown_again(tmp_path, monkeypatch, capsys):
    broken = TARGETS["frames"].seeds[0]
    monkeypatch.setattr(command, "CRASHES", tmp_path)
    file = command.saved(TARGETS["frames"], broken)
    monkeypatch.setitem(frames._LIMITS, frames.Hello, 1)  # so that it isn't encoded again
    with pytest.raises(Exception, match="at most 1 allowed"):
        command.main(["--replay", str(file)])


def test_new_input_is_kept(tmp_path, environ, monkeypatch, capsys):
    monkeypatch.setattr(command, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(
        command, "kept", lambda target: sorted((tmp_path / "corpus" / target.name).glob("*"))
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "modules"), *sys.path])
    assert command.told(TARGETS["frame-reader"], 1)
    assert "7 runs     9 features   1 new of 1 in the corpus\n" in capsys.readouterr().out
    [file] = (tmp_path / "corpus" / "frame-reader").iterdir()
    assert (file.read_bytes(), file.name) == (b"v12345", command.name_of(b"v12345"))


def test_nothing_is_left_after_an_interruption(tmp_path, environ):
    with subprocess.Popen(
        [sys.executable, str(HERE), "600", "frames"], stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        until(lambda: psutil.Process(process.pid).children(), "libFuzzer runs")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in said
    assert not [child for child in children if child.is_running()]
    assert list((tmp_path / "passing").iterdir()) == []
