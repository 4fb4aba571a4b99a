"""The entry points of plugins are found, whatever state the metadata beside them is in."""

import sys

import pytest

from cluster_kit.plugins import PluginRegistry, PluginStatus
from cluster_kit.plugins.entry_points import installed_plugins

POINT = b"[cluster_kit]\nacme = acme_plugin\n"
METADATA = b"Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return a function that puts the metadata of a distribution on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def site(folder="acme-1.2.dist-info", **files):
        info = tmp_path / folder
        info.mkdir(parents=True)
        for name, content in ({"METADATA": METADATA, "entry_points.txt": POINT} | files).items():
            if content is not None:
                (info / name).write_bytes(content)

    return site


def found():
    """Return the plugins that tests have put there, by their names."""
    return {
        plugin.name: plugin
        for plugin in installed_plugins()
        if plugin.distribution.startswith(("acme", "other"))
    }


@pytest.mark.parametrize(
    ("metadata", "label"),
    [
        (METADATA, "acme 1.2"),
        (None, "acme-1.2.dist-info"),
        (b"", "acme-1.2.dist-info"),
        (b"Version: 1.2\n", "acme-1.2.dist-info"),
        (b"Name: acme\n", "acme of unknown version"),
        (b"Name: acme\nVersion:\n", "acme of unknown version"),
        (b"Name: acme\nVersion: 1.2\nSummary: \xff\xfe\n", "acme-1.2.dist-info"),
        (b"Name: acme\nVersion: 1\n  .2\n", "acme 1 .2"),
        (b"Name: acme" + b"x" * 9000 + b"\nVersion: 1\n", "acme" + "x" * 96),
    ],
)
def test_distribution_is_named_by_what_there_is(site, metadata, label):
    site(METADATA=metadata)
    assert found()["acme"].distribution == label


@pytest.mark.parametrize("content", [POINT + b"\xff\xfe = x\n", b"[cluster_kit]\nacme\n"])
def test_entry_points_that_cannot_be_read_are_a_fault_of_their_distribution_alone(site, content):
    site(
        "broken-1.dist-info", METADATA=b"Name: other\nVersion: 1\n", **{"entry_points.txt": content}
    )
    site()
    registry = PluginRegistry.load({})
    infos = {info.name: info for info in registry.plugins}
    assert infos["acme"].distribution == "acme 1.2"
    assert infos["other"].status is PluginStatus.FAILED
    assert "its entry_points.txt cannot be read: " in infos["other"].error
    assert infos["other"].error.endswith("install the distribution again")
    assert registry.resolve("strategy", "gossip")


@pytest.mark.parametrize(
    "content", [b"[console_scripts]\n\xff\xfe = x\n", b"[console_scripts]\nacme\n", b"\xff", b""]
)
def test_unrelated_distribution_is_ignored(site, content):
    site(
        "other-1.dist-info", METADATA=b"Name: other\nVersion: 1\n", **{"entry_points.txt": content}
    )
    assert found() == {}


@pytest.mark.parametrize(
    "value",
    [b"", b"acme plugin", b"acme_plugin:", b"acme-plugin", b"../acme", b"acme:a:b", b"acme;x"],
)
def test_odd_value_is_reported(site, value):
    site(**{"entry_points.txt": b"[cluster_kit]\nacme = " + value + b"\n"})
    [info] = [info for info in PluginRegistry.load({}).plugins if info.name == "acme"]
    assert info.error.startswith("ValueError: its entry point is ")
    assert info.error.endswith("expected package.module or package.module:object")


@pytest.mark.parametrize(
    "value", [b"acme_plugin.hooks", b"acme_plugin : thing", b"acme_plugin [extra]"]
)
def test_missing_module_is_reported(site, value):
    site(**{"entry_points.txt": b"[cluster_kit]\nacme = " + value + b"\n"})
    [info] = [info for info in PluginRegistry.load({}).plugins if info.name == "acme"]
    assert info.error.startswith(
        "ModuleNotFoundError: No module named 'acme_plugin', which its entry point "
    )


def test_name_may_be_any_text(site):
    site(**{"entry_points.txt": b"[cluster_kit]\nMy Plugin! = acme_plugin\n"})
    assert found()["My Plugin!"].distribution == "acme 1.2"


def test_first_of_two_versions_on_the_path_counts(site, tmp_path, monkeypatch):
    site()
    site("old/Acme-1.0.dist-info", METADATA=b"Name: Acme\nVersion: 1.0\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "old")])
    assert [plugin.distribution for plugin in installed_plugins() if plugin.name == "acme"] == [
        "acme 1.2"
    ]


def test_metadata_that_is_no_folder_is_passed_over(site, tmp_path):
    site()
    (tmp_path / "broken-1.dist-info").write_text("no folder")
    (tmp_path / "other-1.dist-info" / "entry_points.txt").mkdir(parents=True)
    assert set(found()) == {"acme"}


def test_two_entry_points_of_one_name_leave_the_first_in_use(site, tmp_path):
    site(**{"entry_points.txt": b"[cluster_kit]\nacme = acme_one\nacme = acme_two\n"})
    hook = (
        "from cluster_kit import hookimpl\n@hookimpl\ndef cluster_kit_event(event): "
        "heard.append(event)\nheard = []\n"
    )
    for name in ("acme_one", "acme_two"):
        (tmp_path / f"{name}.py").write_text(hook)
    registry = PluginRegistry.load({})
    statuses = [info.status for info in registry.plugins if info.name == "acme"]
    assert statuses == [PluginStatus.LOADED, PluginStatus.FAILED]
    registry.notify("an event")
    assert sys.modules.pop("acme_one").heard == ["an event"]
    assert sys.modules.pop("acme_two").heard == []
