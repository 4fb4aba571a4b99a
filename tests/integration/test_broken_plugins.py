"""Many kinds of broken plugins side by side: each is reported with its cure, none breaks others."""

import os

import pytest
from broken_plugins import BROKEN, FAILED, VERSION, install
from cli_process import cluster_kit

from cluster_kit.cli.plugins.survey import survey


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return an environment in which all of them are installed, and one that works."""
    folder = tmp_path_factory.mktemp("site")
    for name, (source, _) in (FAILED | BROKEN).items():
        install(folder, name, source)
    (folder / "circular_b.py").write_text("from circular import Own")
    install(folder, "missing", "", point="missing_module.hooks")
    install(folder, "missing_object", "", point="missing_object:plugin")
    install(folder, "odd_value", "", point="not a module")
    install(folder, "works", "class Own(Finder): pass")
    return os.environ | {"PYTHONPATH": str(folder), "CLUSTER_KIT_BLOCK_PLUGINS": ""}


@pytest.fixture(scope="module")
def shown(installed):
    """Return what ``cluster-kit plugins`` shows of all of them."""
    done = cluster_kit("plugins", env=installed)
    print(done.stdout, done.stderr)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def line_of(shown, name):
    [line] = [line for line in shown if line.startswith(f"{name} ({name} {VERSION}): ")]
    return line.partition("): ")[2]


@pytest.mark.parametrize("name", FAILED)
def test_plugin_that_fails_is_reported_with_its_cause(shown, name):
    assert line_of(shown, name).startswith(FAILED[name][1])


@pytest.mark.parametrize("name", BROKEN)
def test_offer_that_cannot_work_is_reported_with_its_cure(shown, name):
    assert line_of(shown, name).startswith(
        f"strategy '{name}': '{name}:Own' cannot work as a strategy: {BROKEN[name][1]}"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "missing",
            (
                "No module named 'missing_module', which its entry point 'missing_module.hooks' "
                "names: correct that"
            ),
        ),
        (
            "missing_object",
            (
                "module 'missing_object' has no attribute 'plugin', which its entry point "
                "'missing_object:plugin' names: correct"
            ),
        ),
        (
            "odd_value",
            "its entry point is 'not a module': expected package.module or package.module:object",
        ),
    ],
)
def test_entry_point_that_leads_nowhere_is_reported_with_its_cure(shown, name, told):
    assert told in line_of(shown, name)


def test_working_plugin_is_shown_as_loaded_beside_broken_ones(shown):
    statuses = {
        line.split()[0]: line.split()[3]
        for line in shown
        if f" {VERSION} " in line and "): " not in line
    }
    assert {name for name, status in statuses.items() if status == "loaded"} == {"works"}
    assert {name for name, status in statuses.items() if status == "broken"} == set(BROKEN)
    assert "loaded" in shown[1]


def test_all_that_is_broken_can_be_left_out_as_reported(shown, installed):
    [cure] = [
        line
        for line in shown
        if line.startswith("repair or uninstall what is broken, or block it: ")
    ]
    name, _, value = cure.partition("block it: ")[2].partition("=")
    done = cluster_kit("plugins", env=installed | {name: value})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def bearable(installed):
    """Return an environment without those that end every process which imports them."""
    return installed | {"CLUSTER_KIT_BLOCK_PLUGINS": "dies,crashes,interrupts"}


def check(tmp_path, strategy, environment):
    file = tmp_path / "cluster.yaml"
    file.write_text(f"topologies: {{lan: {{strategy: {strategy}}}}}")
    return cluster_kit("check", file, env=environment)


@pytest.mark.parametrize("name", BROKEN)
def test_check_reports_the_same_with_plugin_and_distribution(tmp_path, bearable, name):
    done = check(tmp_path, name, bearable)
    assert done.returncode == 2
    told = (
        f"strategy '{name}' of plugin {name} ({name} {VERSION}): '{name}:Own' cannot work as a "
        f"strategy: {BROKEN[name][1]}"
    )
    assert f": topologies.lan.strategy: {told}" in done.stderr


def test_check_says_which_plugin_failed(tmp_path, bearable):
    done = check(tmp_path, "raises", bearable)
    assert done.returncode == 2
    raised = "failed: ZeroDivisionError: division by zero, in "
    assert f"plugin raises (raises {VERSION}) {raised}" in done.stderr


@pytest.mark.parametrize("strategy", ["works", "gossip"])
def test_working_strategy_can_be_used_beside_broken_ones(tmp_path, bearable, strategy):
    assert check(tmp_path, strategy, bearable).returncode == 0


# -- clashes, commands and ready-made topologies ---------------------------------------------------

CLASHES = """
@hookimpl
def cluster_kit_strategies():
    return {"twice": Finder, "gossip": Finder}
"""
OTHERS = """
import abc

import click
word = "no command"

class Metric(abc.ABC): pass

@hookimpl
def cluster_kit_commands():
    offered = {"run": "hail", "hail": "hail", "word": "word", "away": "nothing", "meter": "Metric"}
    return {name: f"others:{value}" for name, value in offered.items()}

@click.command()
def hail(): click.echo("hail")

@hookimpl
def cluster_kit_topology_specs():
    return {
        "fine": {"strategy": "hosts_file"},
        "misspelt": {"strategy": "gosip"},
        "typed": {"strategy": "gossip", "config": {"port": "many"}, "max_nodes": 0},
    }

@hookimpl
def cluster_kit_connectors():
    return {"lazy": "others_part:Link"}
"""


def written_in(name):
    return f"; it comes from the ready-made topology '{name}' of plugin others (others {VERSION})"


@pytest.fixture
def site(tmp_path):
    """Return a folder that ``plugins_in`` has on its path."""
    (tmp_path / "site").mkdir()
    return tmp_path / "site"


def plugins_in(site, **environ):
    done = cluster_kit("plugins", env=os.environ | {"PYTHONPATH": str(site)} | environ)
    assert "Traceback" not in done.stderr
    return done


def test_names_that_clash_are_reported_and_a_built_in_keeps_its_own(site, tmp_path):
    install(site, "one", CLASHES)
    install(site, "two", CLASHES)
    done = plugins_in(site)
    assert done.returncode == 1
    for name in ("one", "two"):
        said = f"{name} ({name} {VERSION}): strategy "
        assert (
            f"{said}'gossip' is ignored: a built-in has that name, choose another\n" in done.stdout
        )
        both = f"one (one {VERSION}) and two (two {VERSION})"
        assert f"{said}'twice' is offered by {both}: block or uninstall" in done.stdout
    environment = os.environ | {"PYTHONPATH": str(site)}
    assert check(tmp_path, "gossip", environment).returncode == 0
    assert check(tmp_path, "twice", environment).returncode == 2
    assert (
        check(tmp_path, "twice", environment | {"CLUSTER_KIT_BLOCK_PLUGINS": "two"}).returncode == 0
    )


def test_commands_and_ready_made_topologies_are_checked(site):
    install(site, "others", OTHERS)
    done = plugins_in(site)
    prefix = f"others (others {VERSION}): "
    told = [
        line.removeprefix(prefix) for line in done.stdout.splitlines() if line.startswith(prefix)
    ]
    assert done.returncode == 1
    assert "No module named 'others_part'; install it" in told[4]
    assert told == [
        "command 'away': module 'others' has no 'nothing'" + told[0].partition("'nothing'")[2],
        "command 'meter' is a class, not a click command: decorate it with @click.command()",
        "command 'run' is not used: cluster-kit has that command; choose another name",
        "command 'word' is a str, not a click command: decorate it with @click.command()",
        "connector 'lazy': cannot import 'others_part:Link': ModuleNotFoundError: "
        + told[4].partition("Error: ")[2],
        (
            "spec 'misspelt': misspelt.strategy: unknown strategy 'gosip': did you mean "
            f"'gossip'?{written_in('misspelt')}"
        ),
        (
            "spec 'typed': typed.config.port: invalid value 'many': expected int, got "
            f"str{written_in('typed')}"
        ),
        f"spec 'typed': typed.max_nodes: invalid value 0: expected at least 1{written_in('typed')}",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("misspelt", "topologies.lan.strategy: unknown strategy 'gosip': did you mean 'gossip'?"),
        ("typed", "topologies.lan.config.port: invalid value 'many': expected int, got str"),
        ("typed", "topologies.lan.max_nodes: invalid value 0: expected at least 1"),
    ],
)
def test_check_names_the_plugin_behind_a_faulty_ready_made_topology(site, tmp_path, name, told):
    install(site, "others", OTHERS)
    file = tmp_path / "cluster.yaml"
    file.write_text(
        f"topologies: {{lan: {{use: {name}}}, own: {{use: fine, max_nodes: 0, strategy: gossip}}}}"
    )
    done = cluster_kit("check", file, env=os.environ | {"PYTHONPATH": str(site)})
    assert f"{told}{written_in(name)}\n" in done.stderr
    assert "topologies.own.max_nodes: invalid value 0: expected at least 1\n" in done.stderr


@pytest.mark.parametrize("fault", ["raise SystemExit", "import os; os._exit(0)"])
def test_part_that_ends_the_process_when_it_is_built_hides_nothing(site, fault):
    source = f"class Own(Finder):\n    def __init__(self):\n        {fault}"
    install(site, "builds", source)
    install(site, "works", "class Own(Finder): pass")
    done = plugins_in(site)
    assert done.returncode == 1
    assert "works 1.2     loaded" in done.stdout
    assert f"builds (builds {VERSION}): strategy 'builds': " in done.stdout


def test_class_attributes_of_a_strategy_are_checked(site, tmp_path):
    install(
        site,
        "says",
        "class Own(Finder):\n    partial = property(lambda self: 1 / 0)\n    announces = 'yes'",
    )
    told = [
        line.partition("): ")[2] for line in plugins_in(site).stdout.splitlines() if "): " in line
    ]
    assert told[0] == "strategy 'says': 'announces' is 'yes': expected True or False"
    assert told[1].startswith(
        "strategy 'says': 'partial' cannot be read: ZeroDivisionError: division by zero, in "
    )
    done = check(tmp_path, "says", os.environ | {"PYTHONPATH": str(site)})
    assert done.returncode == 2
    unreadable = "cannot be used: 'partial' cannot be read: ZeroDivisionError"
    assert f"Own of plugin says (says {VERSION}) {unreadable}" in done.stderr


@pytest.mark.parametrize("method", ["__post_init__(self)", "serves_on(self, host)"])
def test_check_blames_the_plugin_for_what_its_code_raises(site, tmp_path, method):
    install(
        site,
        "raising",
        f"@dataclass\nclass Own(Finder):\n    def {method}: raise SystemExit('odd')",
    )
    done = check(tmp_path, "raising", os.environ | {"PYTHONPATH": str(site)})
    assert done.returncode == 2
    assert f"Own of plugin raising (raising {VERSION})" in done.stderr
    assert "SystemExit: odd" in done.stderr


def test_module_that_hangs_hides_nothing(site, monkeypatch):
    install(site, "hangs", "import threading; threading.Event().wait()")
    install(
        site,
        "later",
        "class Own(Finder):\n    def __init__(self):\n        import threading; "
        "threading.Event().wait()",
    )
    install(site, "works", "class Own(Finder): pass")
    monkeypatch.setattr("cluster_kit.cli.plugins.survey.STEP_S", 2.0)
    monkeypatch.syspath_prepend(site)
    examined = {each.plugin.name: each.faults for each in survey({}, ())}
    assert examined["works"] == ()
    for name in ("hangs", "later"):
        assert "its code still ran after 2 s" in examined[name][0]


def test_output_of_plugins_stays_out_of_the_table(site):
    install(
        site, "prints", "print('hello')\nimport os\nos.write(1, b'ahoy')\nclass Own(Finder): pass"
    )
    done = plugins_in(site)
    assert done.returncode == 0
    assert done.stdout.startswith("PLUGIN")
    assert "hello" not in done.stdout
    assert "ahoy" not in done.stdout
