"""Whatever a block or a test leaves behind is found and named."""

import asyncio
import gc
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from cluster_kit.testing import leaves_nothing
from cluster_kit.testing.leaks import close_server

pytest_plugins = "pytester"

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def leave_task(cleanup):
    task = asyncio.get_running_loop().create_task(asyncio.sleep(60), name="forgotten")
    cleanup.append(task.cancel)
    return "task forgotten"


def leave_thread(cleanup):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="forgotten", daemon=True)
    thread.start()
    cleanup += [stop.set, thread.join]
    return "thread forgotten"


def leave_process(cleanup):
    process = subprocess.Popen(["sleep", "60"])
    cleanup += [process.kill, process.wait]
    return f"process {process.pid} sleep 60"


def leave_socket(cleanup):
    sock = socket.socket()
    cleanup.append(sock.close)
    return f"descriptor {sock.fileno()} socket:"


def leave_pipe(cleanup):
    ends = os.pipe()
    cleanup += [lambda: os.close(ends[0]), lambda: os.close(ends[1])]
    return f"descriptor {ends[0]} pipe:"


def leave_file(cleanup):
    path = Path(tempfile.mkdtemp())
    (path / "new").write_text("")
    (path / "new").rename(path / "renamed")
    cleanup += [(path / "renamed").unlink, path.rmdir]
    return f"directory {path}; file {path / 'renamed'}"


def leave_socket_file(cleanup):
    path = Path(tempfile.mkdtemp())
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path / "x.sock"))
    cleanup += [(path / "x.sock").unlink, path.rmdir]
    return f"socket file {path / 'x.sock'}"


@pytest.mark.parametrize(
    "leave",
    [
        leave_task,
        leave_thread,
        leave_process,
        leave_socket,
        leave_pipe,
        leave_file,
        leave_socket_file,
    ],
)
def test_each_kind_of_leak_is_named(leave):
    async def scenario():
        cleanup = []
        try:
            with pytest.raises(AssertionError) as caught:
                async with leaves_nothing(0.1):
                    named = leave(cleanup)
            assert named in str(caught.value)
        finally:
            for undo in cleanup:
                undo()

    asyncio.run(scenario())


def test_files_that_were_there_or_are_gone_again_are_no_leak(tmp_path):
    (tmp_path / "old").write_text("")

    async def scenario():
        async with leaves_nothing(0.1):
            (tmp_path / "old").write_text("anew")
            (tmp_path / "new").write_text("")
            (tmp_path / "new").unlink()

    asyncio.run(scenario())


def test_files_do_not_count_where_they_are_the_source(tmp_path):
    async def scenario():
        async with leaves_nothing(0.1, files=False):
            (tmp_path / "goodbye").write_text("")

    asyncio.run(scenario())


def test_resources_opened_earlier_are_not_leaks():
    async def scenario():
        with socket.socket():
            async with leaves_nothing(0.1):
                await asyncio.to_thread(len, "")

    asyncio.run(scenario())


LEAVING_TESTS = {
    "a thread": """
        import threading
        def test_it():
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    """,
    "an orphan": """
        import subprocess
        def test_it():
            subprocess.run(["sh", "-c", "sleep 60 & :"], check=True, stdout=subprocess.DEVNULL)
    """,
}


@pytest.fixture(autouse=True)
def _pythonpath_of_conftest(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(CONFTEST.parent), prepend=os.pathsep)


@pytest.mark.parametrize("code", LEAVING_TESTS.values(), ids=LEAVING_TESTS)
def test_a_test_that_leaves_something_behind_fails(code, pytester):
    pytester.makeconftest(CONFTEST.read_text().replace("GRACE_S = 10.0", "GRACE_S = 0.2"))
    pytester.makepyfile(code)
    pytester.runpytest_subprocess().assert_outcomes(passed=1, errors=1)


def test_a_missing_program_skips_unless_it_is_required(pytester, monkeypatch):
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile("def test_it(require): require('no-such-program')")
    monkeypatch.delenv("CLUSTER_KIT_REQUIRE_SERVERS", raising=False)
    pytester.runpytest_subprocess("-rs").stdout.fnmatch_lines(
        ["SKIPPED*no-such-program is not installed"]
    )
    monkeypatch.setenv("CLUSTER_KIT_REQUIRE_SERVERS", "1")
    pytester.runpytest_subprocess().assert_outcomes(failed=1)


def test_server_that_is_closed_while_it_accepts_leaves_no_socket():
    async def scenario():
        loop = asyncio.get_running_loop()
        closing, create_task = [], loop.create_task

        def close_during_accept(coroutine, **options):
            if coroutine.__name__ == "_accept_connection2":
                closing.append(create_task(close_server(server)))
            return create_task(coroutine, **options)

        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        loop.create_task = close_during_accept
        async with leaves_nothing(grace_s=1.0):
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.close()
            await writer.wait_closed()
            await asyncio.gather(*closing)

    gc.disable()  # it would close what is lost
    try:
        asyncio.run(scenario())
    finally:
        gc.enable()
