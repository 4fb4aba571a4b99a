"""What PyInstaller can't see: parts and plugins are imported by their names, when a configuration
names them.
"""

from importlib.metadata import entry_points

from PyInstaller.utils.hooks import collect_submodules, copy_metadata

hiddenimports = collect_submodules(
    "cluster_kit", filter=lambda name: not name.startswith("cluster_kit.testing")
)
datas: list[tuple[str, str]] = []
for plugin in entry_points(group="cluster_kit"):
    hiddenimports += [plugin.module, *collect_submodules(plugin.module.partition(".")[0])]
    datas += copy_metadata(plugin.dist.name) if plugin.dist else []
