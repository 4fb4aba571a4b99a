"""Debian's real EPMD and ``erl`` on loopback, each stopped at the end of its ``with`` block."""

import os
import random
import socket
import subprocess
import time

DEADLINE_S = 20.0
LOOPBACK = "127.0.0.1"


def free_port():
    """Return a port outside the ephemeral range, so that no client takes it while EPMD is down."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


class EpmdServer:
    """``with EpmdServer() as epmd``: EPMD answers at ``epmd.port``, and can be restarted."""

    def __init__(self):
        self.port = free_port()
        self.environment = os.environ | {
            "ERL_EPMD_PORT": str(self.port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
        }
        self._process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self._process = subprocess.Popen(
            ["epmd"], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection((LOOPBACK, self.port)).close()
            except OSError:
                assert time.monotonic() < deadline_s, "EPMD didn't start"
                assert self._process.poll() is None, "EPMD ended at once"
                time.sleep(0.01)
            else:
                return

    def kill(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number):
        self._process.send_signal(number)

    def names(self):
        """Return what ``epmd -names`` prints, as a mapping of name to port."""
        done = subprocess.run(
            ["epmd", "-names"], env=self.environment, capture_output=True, text=True, check=True
        )
        lines = [line.split() for line in done.stdout.splitlines() if line.startswith("name ")]
        return {words[1]: int(words[4]) for words in lines}

    def until(self, met, what):
        """Wait until ``met(names)``."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not met(names := self.names()):
            assert time.monotonic() < deadline_s, f"expected {what}, EPMD knows {names}"
            time.sleep(0.02)


class Erl:
    """``with Erl(epmd, "b@127.0.0.1", home) as erl``: a running Erlang node."""

    def __init__(self, epmd, name, home):
        self._command = [
            "erl",
            "-noshell",
            "-name",
            name,
            "-setcookie",
            "secret",
            "-kernel",
            "inet_dist_use_interface",
        ]
        self._command += ["{127,0,0,1}", "-eval", _SERVE]
        self._environment = epmd.environment | {"HOME": str(home)}
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.evaluate("ready") == "ready"
        return self

    def evaluate(self, expression):
        """Return the value of an Erlang expression, as ``~w`` prints it."""
        self._process.stdin.write(f"{expression}.\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


_SERVE = """
    Serve = fun Serve() ->
        case io:parse_erl_exprs(standard_io, '') of
            {ok, Exprs, _} ->
                {value, Value, _} = erl_eval:exprs(Exprs, []),
                io:format("~w~n", [Value]),
                Serve();
            {eof, _} -> halt()
        end
    end,
    Serve().
"""
