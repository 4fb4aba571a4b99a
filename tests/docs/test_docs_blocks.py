"""What the docs show works: programs accept its commands, links resolve, each block is known."""

import configparser
import json
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from click import ClickException
from click.testing import CliRunner
from docs_pages import BLOCKS, PAGES, ROOT, Block, blocks, texts

from cluster_kit import cli
from cluster_kit.cli.doctor.report import JsonLines
from cluster_kit.cli.doctor.verdict import SourceFinding, Verdict
from cluster_kit.diagnosis import Finding, Outcome
from cluster_kit.strategies.erlang_hosts import parse_hosts

LANGUAGES = {
    "yaml": "test_docs_configurations.py",
    "python": "test_docs_every_block.py",
    "json": "here",
    "toml": "here",
    "ini": "test_docs_deployment.py",
    "dockerfile": "test_docs_deployment.py",
    "console": "here",
    "sh": "here",
    "": "shown, not used: trees, output, a file of another format",
    "text": "test_docs_protocol.py",
    "mermaid": "drawn by the browser",
    "elixir": "libcluster's own configuration",
    "erlang": "test_hosts_file_of_erlang_is_read",
    "{conformance-rules}": "the build of the site",
    "{configuration-reference}": "the build of the site",
    "{eval-rst}": "the build of the site",
    "{toctree}": "the build of the site",
}
WORDS = {Outcome.OK: "healthy", Outcome.EMPTY: "alone", Outcome.FAILED: "sick"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OTHERS = {  # programs of others, whose options are theirs to check
    *(
        ".",
        "avahi-browse",
        "avahi-publish",
        "cat",
        "cd",
        "chown",
        "cp",
        "echo",
        "firewall-cmd",
        "git",
        "install",
        "kill",
        "kubectl",
    ),
    *("mv", "mypy", "nft", "rsync", "ruff", "set", "systemctl", "twine", "ufw", "umask", "useradd"),
}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_language_of_a_block_is_known(block):
    assert block.language in LANGUAGES


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_declares_what_is_looked_for(block):
    content = tomllib.loads(block.text)
    assert content["project"]["entry-points"]["cluster_kit"]
    [name] = {re.split(r"[\[>]", each)[0] for each in content["project"]["dependencies"]}
    assert name == PYPROJECT["project"]["name"]


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_as_the_doctor_prints_it(block):
    for line in block.text.splitlines():
        shown, printed = json.loads(line), []
        report = JsonLines(printed.append)
        report.topology(SimpleNamespace(name=shown["topology"]))
        if "verdict" in shown:
            [outcome] = [each for each in Outcome if WORDS[each] == shown["verdict"]]
            report.verdict(Verdict(outcome, shown["because"]))
        else:
            finding = Finding(
                outcome=Outcome(shown["outcome"]),
                **{key: shown[key] for key in ("asked", "got", "cause")},
            )
            report.finding(SourceFinding(shown["source"], shown["step"], finding))
        assert printed == [line]


@pytest.mark.once
def test_simulation_prints_what_the_page_shows():
    [shown] = [text for text in texts("docs/simulation.md", "console") if text.startswith("$ ")]
    command, _, output = shown.partition("\n")
    done = CliRunner().invoke(cli.main, command.split()[2:])
    kept = [
        [line for line in text.splitlines() if not line.startswith("wall")]
        for text in (done.output, output)
    ]
    assert kept[0] == kept[1]


def test_hosts_file_of_erlang_is_read():
    assert [parse_hosts(block.text) for block in blocks("erlang")] == [
        ("web1.example", "web2.example")
    ]


def commands(block):
    """Yield the words of each command in a block, without redirections, comments and output."""
    lines = [
        line for line in block.text.splitlines() if line.startswith("$ ")
    ] or block.text.splitlines()
    for line in lines:
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words, command = list(lexer), []
        for before, word in zip(["", *words], [*words, "&&"], strict=False):
            if word in {"&&", "|", ";", "(", ")"}:
                if command:
                    yield command
                command = []
            elif not {before, word} & {"<", ">", ">>"}:
                command.append(word)


def check(program, *arguments):
    """Fail unless ``program`` takes these arguments."""
    name = Path(program).name or program
    assert name in CHECKS or name in OTHERS or (ROOT / program).is_file(), f"no check for {name!r}"
    CHECKS.get(name, lambda *_: None)(*arguments)


def _cluster_kit(name, *arguments):
    context = cli.main.make_context("cluster-kit", [name, *arguments])
    command = cli.main.get_command(context, name)
    assert command, f"no command {name!r}"
    for file in (each for each in arguments if each.endswith(".yaml") and not each.startswith("/")):
        Path(file).write_text("topologies: {lan: {strategy: gossip}}")
    command.make_context(name, list(arguments))


def _python(script, *arguments):
    if script == "-m":
        module, *arguments = arguments
        assert module in {"build", "venv", *CHECKS}
        CHECKS.get(module, lambda *_: None)(*arguments)
        return
    source = (ROOT / script).read_text()
    for option in (each for each in arguments if each.startswith("--")):
        assert f'"{option}"' in source, f"{script} has no {option}"


def _pip(order, *arguments):
    assert order == "install"
    for requirement in (each for each in arguments if not each.startswith("-")):
        for extra in re.findall(r"[\w-]+", "".join(re.findall(r"\[(.*)\]", requirement))):
            assert extra in {*PYPROJECT["project"]["optional-dependencies"], "test"}, requirement


def _tox(*arguments):
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "tox.ini")
    known = {section.removeprefix("testenv:") for section in ini.sections()} | {
        "py311",
        "py312",
        "py313",
    }
    for names in (after for before, after in pairwise(arguments) if before == "-e"):
        assert set(names.split(",")) <= known | {"simulation", "simulation-long"}


def _files_exist(*arguments):
    for path in (
        each.partition("::")[0] for each in arguments if "/" in each or each.endswith(".py")
    ):
        assert (ROOT / path).exists(), path


CHECKS = {
    "cluster-kit": _cluster_kit,
    "python": _python,
    "python3": _python,
    "pip": _pip,
    "tox": _tox,
    "pytest": _files_exist,
}


@pytest.mark.parametrize("block", blocks("console", "sh"), ids=str)
def test_commands_are_as_shown(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(commands(block))
    assert found
    for program, *arguments in found:
        check(program, *arguments)


CONTRIBUTING = PAGES["CONTRIBUTING.md"]


@pytest.mark.parametrize(
    "command",
    re.findall(r"^\|[^|]+\| `([^`|]+)` \|", CONTRIBUTING.partition("## Where")[0], re.MULTILINE),
)
def test_checks_are_as_shown(command):
    for program, *arguments in commands(Block("", 0, "console", command)):
        check(program, *arguments)


def test_files_of_the_guide_for_contributors_are_there():
    named = re.findall(
        r"`((?:\.ci|benchmarks|cluster_kit|docs|examples|plugins|tests)/[\w./-]*)`", CONTRIBUTING
    )
    assert len(named) > 40
    assert not [
        path for path in named if path != "tests/fuzz/crashes/" and not (ROOT / path).exists()
    ]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_indented(page):
    assert not re.search("^ +```", PAGES[page], re.MULTILINE)  # it would be looked at by nobody


@pytest.mark.parametrize(
    "text",
    [
        "cluster-kit chek cluster.yaml",
        "pip install . && cluster-kit run cluster.yaml --nmae b",
        "python benchmarks/gone.py",
        "python benchmarks/micro.py --fast",
        "pip install 'cluster-kit[redis]'",
        "tox -e lints",
        "pytest tests/unit/test_gone.py",
        "clusterkit status",
    ],
)
def test_command_that_is_not_there_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, OSError, ClickException)):
        test_commands_are_as_shown(Block("", 0, "console", text), tmp_path, monkeypatch)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_is_in_the_readme(command):
    assert re.search(rf"cluster-kit {command}\b|'{command}'", PAGES["README.md"])


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", PAGES[page])
    assert not [target for target in targets if not ((ROOT / page).parent / target).exists()]
