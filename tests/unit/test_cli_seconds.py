"""Seconds as an option of a command."""

import click
import pytest
from click.testing import CliRunner

from cluster_kit.cli.click_types import Seconds


@click.command()
@click.option("--wait", type=Seconds())
def wait(wait):
    click.echo(repr(wait))


def test_a_number_of_seconds_is_taken():
    assert CliRunner().invoke(wait, ["--wait", "0.5"]).output == "0.5\n"


@pytest.mark.parametrize("text", ["inf", "nan", "-1", "0", "1e9", "soon"])
def test_invalid_wait_is_refused(text):
    done = CliRunner().invoke(wait, ["--wait", text])
    assert done.exit_code == 2
    assert "--wait" in done.output
