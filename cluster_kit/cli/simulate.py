"""``cluster-kit simulate``: runs a whole cluster in virtual time, from a seed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cluster_kit.cli.click_types import DocumentedCommand, Seconds
from cluster_kit.cli.failure import Failure, FaultyFile

if TYPE_CHECKING:
    from cluster_kit.testing.simulation.outcome import Outcome
    from cluster_kit.testing.simulation.replay import Setting
    from cluster_kit.testing.simulation.scripts.script import Script

MOST_LOSS = 0.5
_REFRESH_S = 0.2  # of real time, between two updates of the progress


class _FlowStyle(click.ParamType[Any]):
    """A name, or a mapping or list in YAML's flow style, as a configuration has them."""

    name = "component"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, mapping or list."""
        if not isinstance(value, str) or value[:1] not in ("{", "["):
            return value
        import yaml

        try:
            return yaml.safe_load(value)
        except yaml.YAMLError:
            cure = "write a name, or '{name: k_regular, k: 6}'"
            self.fail(f"{value!r} is not valid YAML: {cure}", param, ctx)


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit simulate --nodes 100 --topology k_regular --seed 7",
    exit_codes={
        0: "every node saw the true state in time, and no invariant was violated",
        1: "a node did not, or an invariant was violated; prints the smallest failing script",
        2: "the script or an option has faults; each is printed on a line",
    },
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    help="Number of nodes at the start, instead of the script's.",
)
@click.option(
    "--strategy",
    type=_FlowStyle(),
    default="gossip",
    show_default=True,
    help="A strategy, or a list of them.",
)
@click.option(
    "--connector", type=_FlowStyle(), default="tcp", show_default=True, help="A connector."
)
@click.option(
    "--topology", type=_FlowStyle(), default="full_mesh", show_default=True, help="A topology."
)
@click.option(
    "--keys",
    type=_FlowStyle(),
    default="{}",
    help="Other keys of the entry, as in '{connect_timeout_s: 3}'.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all randomness.")
@click.option(
    "--script", "file", metavar="FILE", help="Script to run, as YAML; - is standard input."
)
@click.option(
    "--faults",
    type=click.IntRange(0, 1000),
    help="Generate this many faults from the seed, instead of a script.",
)
@click.option(
    "--messages",
    type=click.IntRange(0, 1000),
    help="Also generate this many steps in which applications exchange messages.",
)
@click.option(
    "--loss",
    type=click.FloatRange(0, MOST_LOSS),
    default=0.0,
    show_default=True,
    help="Fraction of packets lost at all times.",
)
@click.option(
    "--secret",
    is_flag=True,
    help="Give the cluster a secret, so that gossip is sealed and links are TLS.",
)
@click.option(
    "--seconds",
    type=Seconds(),
    help="How long to simulate; by default until all agree, or should have.",
)
@click.option("--trace", is_flag=True, help="Print every action of every node.")
@click.option(
    "--shrink/--no-shrink",
    default=True,
    show_default=True,
    help="Whether to search for a smaller script that fails.",
)
def simulate(
    *,
    nodes: int | None,
    strategy: Any,
    connector: Any,
    topology: Any,
    keys: Any,
    seed: int,
    file: str | None,
    faults: int | None,
    messages: int | None,
    loss: float,
    secret: bool,
    seconds: float | None,
    trace: bool,
    shrink: bool,
) -> None:
    """Simulate a whole cluster in virtual time, from one seed.

    Runs complete nodes, with the real worker, strategies, connector and topology, on a network in
    memory. Nodes start within the first second; then the script runs. Within a printed time of its
    end, every node must know which nodes exist, and have the links that the topology selects; no
    invariant may be violated on the way. The same seed gives the same output, except for lines that
    begin with 'wall'. After a failure, prints the command that replays it.

    A component is a name, package.module:Class, or a name with options, as in
    '{name: k_regular, k: 6}'. A script has steps such as

    \b
      nodes: 5
      steps:
      - {at_s: 5, crash: 2}
      - {at_s: 6, partition: [[1, 2], [3-5]], for_s: 10}
      - {at_s: 20, restart: 2}

    Other steps are join, leave, power_off, freeze, thaw, starve, clock_jump, rekey, cut, ring_cut,
    packets, slow_reader and heal. Applications exchange messages by publish, send and ask, which
    take topic, times, every_s and bytes, and by listen, unlisten, stall and read; kill_worker kills
    a node's worker. In a script with any of these, no message may arrive twice or out of order, or
    be lost without notice.
    """  # noqa: D301 - click needs the backspace itself
    from cluster_kit.cli.configuration import see_modules_beside
    from cluster_kit.errors import ConfigError
    from cluster_kit.testing.simulation.replay import Setting

    see_modules_beside("cluster.yaml")
    if not isinstance(keys, dict):
        raise click.UsageError("--keys takes a mapping, as in '{connect_timeout_s: 3}'")
    entry = {"strategy": strategy, "connector": connector, "topology": topology, **keys}
    setting = Setting(topology=entry, seed=seed, loss=loss, secret=secret, seconds=seconds)
    try:
        script = _script(nodes, file, faults, messages, seed=seed)
        outcome = _run(setting, script, trace=trace)
    except ConfigError as exc:
        raise FaultyFile(exc) from exc
    if not outcome.is_good:
        _fail(setting, outcome, shrink=shrink)


def _script(
    nodes: int | None, file: str | None, faults: int | None, messages: int | None, *, seed: int
) -> Script:
    from cluster_kit.testing.simulation.scripts.file import read_script
    from cluster_kit.testing.simulation.scripts.random_script import random_script
    from cluster_kit.testing.simulation.scripts.script import Script

    options = {"--faults": faults, "--messages": messages}
    generated = [option for option, given in options.items() if given is not None]
    if file is not None and generated:
        raise click.UsageError(f"--script and {generated[0]} exclude each other: give one of them")
    if file is not None:
        return read_script(file, nodes=nodes)
    if nodes is None:
        raise click.UsageError("give --nodes, or a --script that says how many there are")
    if not generated:
        return Script(nodes=nodes)
    return random_script(seed, nodes=nodes, faults=faults or 0, messages=messages or 0)


def _run(setting: Setting, script: Script, *, trace: bool) -> Outcome:
    from cluster_kit.testing.simulation.determinism import compared

    started_s = time.perf_counter()
    outcome = setting.run(
        script, show=click.echo if trace else None, progress=_progress("simulated {:.1f} s")
    )
    took_s = time.perf_counter() - started_s
    if _is_watched():
        click.echo("\r\x1b[Kcomparing with other processes", nl=False, err=True)
    outcome = compared(outcome, setting)
    _clear()
    parts = ", ".join(str(setting.topology[part]) for part in ("strategy", "connector", "topology"))
    click.echo(f"nodes       {len(script.numbers)}; {parts}; seed {setting.seed}")
    for line in outcome.lines():
        click.echo(line)
    click.echo(f"wall        {took_s:.2f} s, {outcome.node_s / took_s:.0f} node-seconds a second")
    return outcome


def _fail(setting: Setting, outcome: Outcome, *, shrink: bool) -> None:
    from cluster_kit.testing.simulation.determinism import compared
    from cluster_kit.testing.simulation.invariants.findings import Law
    from cluster_kit.testing.simulation.replay import report, smallest

    def run_everywhere(script: Script) -> Outcome:
        return compared(setting.run(script), setting)

    run = run_everywhere if outcome.findings[0].law is Law.REPEATS else None
    progress = _progress("making the script smaller: try {}")
    script = smallest(outcome, setting, progress, run=run) if shrink else outcome.script
    _clear()
    raise Failure(f"simulate: {report(outcome, setting, script)}")


def _progress(form: str) -> Callable[[float], object] | None:
    """Return a function that shows the progress; ``None`` if there is no terminal."""
    if not _is_watched():
        return None
    shown_s = 0.0

    def progress(value: float) -> None:
        nonlocal shown_s
        if time.monotonic() >= shown_s + _REFRESH_S:
            shown_s = time.monotonic()
            click.echo(f"\r{form.format(value)}\x1b[K", nl=False, err=True)

    return progress


def _is_watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _clear() -> None:
    """Erase the progress."""
    if _is_watched():
        click.echo("\r\x1b[K", nl=False, err=True)
