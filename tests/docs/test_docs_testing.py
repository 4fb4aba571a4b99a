"""Each Python block of the page on testing is a test file, and passes."""

import subprocess
import sys

from docs_pages import texts


def test_each_block_is_a_test_file_that_passes(tmp_path):
    blocks = texts("docs/testing.md", "python")
    for number, block in enumerate(blocks, 1):
        (tmp_path / f"test_block_{number}.py").write_text(block)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        "--junitxml=report.xml",
    ]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    report = (tmp_path / "report.xml").read_text()
    assert all(
        f'classname="test_block_{number}' in report for number in range(1, len(blocks) + 1)
    ), "a block has no test"
