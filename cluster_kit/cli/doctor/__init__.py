"""``cluster-kit doctor``: finds out why a cluster does not form.

``examination`` runs one source in a separate process and collects its findings, ``verdict`` draws
the conclusion, ``report`` prints both. All sources are examined at once, and printed one by one.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from cluster_kit.cli.click_types import FAULTY_FILE, DocumentedCommand, Seconds
from cluster_kit.cli.configuration import read_configuration
from cluster_kit.cli.interruption import INTERRUPTED, raising

if TYPE_CHECKING:
    from cluster_kit.cli.doctor.examination import Examination
    from cluster_kit.cli.doctor.report import FindingPrinter
    from cluster_kit.cli.doctor.verdict import Verdict
    from cluster_kit.config import ClusterConfig, TopologyConfig
    from cluster_kit.security.keys import Keyring


@click.command(
    cls=DocumentedCommand,
    example="cluster-kit doctor cluster.yaml",
    exit_codes={
        0: "every source answers, and each topology has a node that can be linked to",
        1: "there is a fault, or this node is alone; prints the most likely cause",
        2: FAULTY_FILE,
        INTERRUPTED: "interrupted",
    },
)
@click.argument("file")
@click.option(
    "--wait",
    "wait_s",
    metavar="S",
    type=Seconds(),
    default=4.0,  # more than two heartbeats of gossip
    show_default=True,
    help="Minimum number of seconds to listen to each source.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object a line for each finding and each verdict.",
)
def doctor(file: str, wait_s: float, as_json: bool) -> None:
    """Diagnose why the cluster in FILE does not form.

    Queries the sources of each topology step by step, collects the nodes that they discover, and
    tries a handshake with each node. Each finding is marked 'ok', 'empty' (an answer without nodes)
    or 'failed' (no answer), followed by the likely cause and what to do about it. Announces nothing
    and opens no links, so other nodes don't notice.
    """
    config, _ = read_configuration(file)
    from cluster_kit.cli.doctor.report import JsonLines, Lines
    from cluster_kit.diagnosis import Outcome

    on_terminal = sys.stdout.isatty() and not as_json
    with _spinner() if on_terminal else nullcontext(click.echo) as echo:
        width = shutil.get_terminal_size().columns if on_terminal else None
        printer = JsonLines(echo) if as_json else Lines(echo, width)
        printer.begin(file, config)
        verdicts = list(_examine(config, wait_s, printer))
    if not all(verdict.outcome is Outcome.OK for verdict in verdicts):
        sys.exit(1)


def _examine(config: ClusterConfig, wait_s: float, printer: FindingPrinter) -> Iterator[Verdict]:
    """Start all examinations at once, then print one topology after the other."""
    keyring = _keyring(config)
    with raising(), ExitStack() as running:
        started = []
        for topology in config.topologies.values():
            examinations = _examinations(config, topology, wait_s, keyring)
            started.append((topology, list(map(running.enter_context, examinations))))
        for topology, entered in started:
            printer.topology(topology)
            yield _conclude(entered, printer)


def _keyring(config: ClusterConfig) -> Keyring | None:
    if not config.secrets and config.certificates is None:
        return None
    from cluster_kit.supervisor.keychain import Keychain

    keychain = Keychain(config.cluster)
    keychain.change(config)
    return keychain.keyring()


def _examinations(
    config: ClusterConfig, topology: TopologyConfig, wait_s: float, keyring: Keyring | None
) -> Iterator[Examination]:
    from cluster_kit.cli.doctor.examination import Examination
    from cluster_kit.node import BootId, Fence, Node, made_up_name
    from cluster_kit.worker.examiner import Examine

    name = config.node or made_up_name("doctor", config.host)
    local = Node(name=name, metadata=config.metadata, boot_id=BootId.new())
    fence = Fence(config.cluster, topology.group)
    for number, source in enumerate(topology.sources):
        order = Examine(
            topology=topology,
            source=number,
            local=local,
            fence=fence,
            wait_s=wait_s,
            keyring=keyring,
        )
        yield Examination(source, order)


def _conclude(examinations: Iterable[Examination], printer: FindingPrinter) -> Verdict:
    """Print the findings about one topology as they come, and the verdict."""
    from cluster_kit.cli.doctor.verdict import SourceFinding, verdict_of

    findings = []
    for examination in examinations:
        printer.source(examination.source)
        for message in examination.findings():
            finding = SourceFinding(examination.source, message.step, message.finding)
            printer.finding(finding)
            findings.append(finding)
    verdict = verdict_of(findings)
    printer.verdict(verdict)
    return verdict


@contextmanager
def _spinner() -> Iterator[Callable[[str], object]]:
    """Yield a function that prints a line; with ``rich``, above a spinner."""
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        yield click.echo
        return
    console = Console()
    with console.status("examining"):
        yield lambda line: console.print(Text.from_ansi(line), soft_wrap=True)
