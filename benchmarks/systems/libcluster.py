"""A node of libcluster: one BEAM with ``Cluster.Strategy.Gossip`` that prints its node events.

The node's few lines are compiled once, so that a node boots as a release does, without compiling a
script.
"""

# ruff: noqa: D102 - ``System`` documents them
from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from systems import Kind, Notice, Seat

EPMD_PORT = "43690"
GOSSIP_PORT = "45893"  # cluster_kit's neighbour: neither hears the other
KINDS = {b"ready": Kind.READY, b"up": Kind.UP, b"down": Kind.DOWN}
NODE = """
defmodule BenchmarkNode do
  def start do
    :ok = :net_kernel.monitor_nodes(true)
    [host, port, multicast] = :init.get_plain_arguments() |> Enum.map(&to_string/1)
    Application.put_env(:logger, :level, :error)
    for app <- [:logger, :crypto, :telemetry], do: {:ok, _} = Application.ensure_all_started(app)
    config = [port: String.to_integer(port), multicast_if: host, multicast_addr: multicast]
    topologies = [lan: [strategy: Cluster.Strategy.Gossip, config: config]]
    {:ok, _} = Cluster.Supervisor.start_link([topologies, [name: Benchmark]])
    IO.puts("ready")
    report()
  end

  defp report do
    receive do
      {:nodeup, node} -> IO.puts("up #{node}")
      {:nodedown, node} -> IO.puts("down #{node}")
    end

    report()
  end
end
"""


class Libcluster:
    """Nodes of a libcluster that was compiled elsewhere."""

    name = "libcluster"
    leave_signal = signal.SIGTERM

    def __init__(self, builds: Path) -> None:
        """``builds`` has a folder of modules per application, as ``_build/prod/lib`` has."""
        ebin = [
            path / "ebin" if (path / "ebin").is_dir() else path
            for path in sorted(builds.resolve().iterdir())
        ]
        self._ebin = [str(path) for path in ebin if any(path.glob("*.beam"))]
        self._paths: list[str] = []

    def prepare(self, folder: Path) -> None:
        source = folder / "node.ex"
        source.write_text(NODE)
        paths = [argument for path in self._ebin for argument in ("-pa", path)]
        subprocess.run(["elixirc", *paths, "-o", str(folder), str(source)], check=True)
        where = 'for app <- [:elixir, :logger], do: IO.puts("#{:code.lib_dir(app)}/ebin")'
        elixir = subprocess.run(
            ["elixir", "-e", where], check=True, capture_output=True, text=True
        ).stdout.split()
        self._paths = [*elixir, *self._ebin, str(folder)]

    def daemon(self, host: str) -> Sequence[str]:
        return ["epmd", "-port", EPMD_PORT, "-address", host]

    def command(self, seat: Seat) -> Sequence[str]:
        address = "{" + seat.host.replace(".", ",") + "}"
        return [
            *(
                "erl",
                "-noshell",
                "-name",
                f"{seat.name}@{seat.host}",
                "-setcookie",
                seat.cluster,
                "-start_epmd",
                "false",
            ),
            *("-kernel", "inet_dist_use_interface", address, "-pa", *self._paths),
            *(
                "-s",
                "Elixir.BenchmarkNode",
                "start",
                "-extra",
                seat.host,
                GOSSIP_PORT,
                "230.1.1.251",
            ),
        ]

    def environment(self) -> Mapping[str, str]:
        return {"ERL_EPMD_PORT": EPMD_PORT, "ERL_CRASH_DUMP": os.devnull}

    def notice(self, line: bytes) -> Notice | None:
        word, _, node = line.partition(b" ")
        kind = KINDS.get(word)
        return Notice(kind, node.decode().partition("@")[0]) if kind else None
