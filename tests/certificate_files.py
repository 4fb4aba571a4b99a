"""Files with certificates, as cert-manager names them and as Kubernetes lays them out."""

import itertools
from pathlib import Path

FILES = {"tls.crt": "chain", "tls.key": "key", "ca.crt": "authorities"}

_generations = itertools.count(1)


def write_folder(folder, certificates):
    """Write a folder with these ``Certificates``, each file for its owner alone; return it."""
    folder.mkdir(exist_ok=True)
    for name, part in FILES.items():
        write(folder / name, getattr(certificates, part))
    return folder


def write(path, content, mode=0o600):
    """Replace a file by another, as most programs do."""
    new = path.with_name(f".{path.name}-{next(_generations)}")
    new.write_bytes(content)
    new.chmod(mode)
    return new.rename(path)


class Mounted:
    """A Secret as the kubelet mounts it: files link into ``..data``, which links to a folder.

    Args:
        folder: Where; its parent exists.
        certificates: What the files have.
    """

    def __init__(self, folder, certificates):
        self.folder = folder
        folder.mkdir()
        self.replace(certificates)
        for name in FILES:
            (folder / name).symlink_to(Path("..data") / name)

    def replace(self, certificates):
        """Have ``..data`` lead to another folder, by one rename."""
        generation = f"..2026_{next(_generations)}"
        write_folder(self.folder / generation, certificates)
        link = self.folder / "..data_tmp"
        link.symlink_to(generation)
        link.rename(self.folder / "..data")
