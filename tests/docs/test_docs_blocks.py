"""What the docs show, works: Python compiles, whole configurations load, files that are named exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster_kit import cli, load_config
from cluster_kit.plugins import PluginRegistry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(language: str) -> list[object]:
    return list(_blocks(language))


def _blocks(language: str) -> Iterator[object]:
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text[: match.start()].count("\n") + 2
            yield pytest.param(match[1], id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("code", blocks("python"))
def test_python_block_compiles(code):
    compile(code, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(
    "text", [block for block in blocks("yaml") if re.search("^topologies:", block.values[0], re.MULTILINE)]
)
def test_whole_configuration_loads(text, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef" * 4)
    path = tmp_path / "cluster.yaml"
    text = re.sub(r"^secret_file: \S+", f"secret_file: {secret}", text, flags=re.MULTILINE)
    if re.search("^certs: ", text, re.MULTILINE):
        text = re.sub(r"^certs: \S+", f"certs: {certificates(text, tmp_path)}", text, flags=re.MULTILINE)
    path.write_text(text)
    load_config(path, PluginRegistry.load())


def certificates(text, folder):
    """Return a folder with certificates for the node of a configuration, as that asks for them."""
    host = re.search(r"^node: \w+@(?:\S+:-)?([^}\s]+)", text, re.MULTILINE)
    domain = re.search(r"^trust_domain: (\S+)", text, re.MULTILINE)
    option = [] if domain is None else ["--trust-domain", domain[1]]
    done = CliRunner().invoke(cli.main, ["certs", str(folder / "pki"), host[1], *option])
    assert done.exit_code == 0, done.output
    return folder / "pki" / host[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text())
    assert not [target for target in targets if not (page.parent / target).exists()]
