"""Runs the program of ``docs/index.md`` twice, and draws what the two terminals showed.

The picture is ``docs/pictures/terminal.svg``. Each line appears in it when it appeared in the run.
"""

import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

PICTURE = Path(__file__).with_name("terminal.svg")
PAGE = Path(__file__).parents[1] / "index.md"
DEADLINE_S = 30.0
FONT = 'font-family="monospace" font-size="13"'
PANEL = 'rx="8" fill="#161b22" stroke="#57606a"'
WIDTH, LINE, TOP, LEFT = 350, 20, 52, 16


class Terminal:
    """A terminal in which the program runs as a node."""

    def __init__(self, folder: str, name: str, began_s: float) -> None:
        self.lines: list[tuple[float, str]] = []
        self._began_s = began_s
        self._has_printed = threading.Condition()
        self._print(f"$ python app.py {name}")
        command = [sys.executable, "-u", "app.py", name]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._print(line.rstrip())

    def _print(self, line: str) -> None:
        with self._has_printed:
            self.lines.append((time.monotonic() - self._began_s, line))
            self._has_printed.notify_all()

    def wait_for(self, met: Callable[[str], bool]) -> None:
        """Wait for a line."""
        with self._has_printed:
            if not self._has_printed.wait_for(
                lambda: any(met(line) for _, line in self.lines), DEADLINE_S
            ):
                raise TimeoutError(f"it printed {self.lines}")

    def kill(self) -> None:
        """Kill the program, but not its worker."""
        self._process.kill()
        self._process.wait()
        self._print("Killed")


def record() -> list[Terminal]:
    """Run it, and return the terminals."""
    [program] = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "app.py").write_text(program)
        began_s = time.monotonic()
        ann = Terminal(folder, "ann", began_s)
        ann.wait_for(lambda line: line.startswith("there"))
        bob = Terminal(folder, "bob", began_s)
        ann.wait_for(lambda line: line.startswith("joined"))
        bob.wait_for(lambda line: "ann" in line and "python" not in line)
        time.sleep(1.0)  # for whoever looks at the picture
        bob.kill()
        ann.wait_for(lambda line: line.startswith("gone"))
        ann.kill()
        ann.lines.pop()
    return [ann, bob]


def draw(terminals: list[Terminal]) -> str:
    """Return the picture."""
    height = TOP + LINE * max(len(each.lines) for each in terminals) + 4
    width = WIDTH * len(terminals)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {FONT}>',
        "<title>What the two programs print</title>",
        "<style>text { fill: #e6edf3; animation: in .1s both }",
        "@keyframes in { from { opacity: 0 } }",
        "@media (prefers-reduced-motion: reduce), print { text { animation: none } }</style>",
    ]
    for number, terminal in enumerate(terminals):
        left = number * WIDTH
        parts.append(
            f'<rect x="{left + 4}" y="4" width="{WIDTH - 8}" height="{height - 8}" {PANEL}/>'
        )
        parts += [
            f'<circle cx="{left + 22 + 16 * dot}" cy="22" r="5" fill="#57606a"/>'
            for dot in range(3)
        ]
        for row, (at_s, line) in enumerate(terminal.lines):
            place = f'x="{left + LEFT}" y="{TOP + row * LINE}" style="animation-delay: {at_s:.2f}s"'
            parts.append(f"<text {place}>{escape(line, quote=False)}</text>")
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(record()))
    print(f"{PICTURE} is written")
