"""How a worker begins in a frozen program, which has no interpreter that could be given a file to
run.

In a program that PyInstaller, cx_Freeze or Nuitka made, ``multiprocessing.freeze_support()``
unpickles a process object from a pipe where the command line says ``--multiprocessing-fork``, and
calls its ``_bootstrap``. Here is such an object.

Source: ``multiprocessing.spawn``, ``spawn_main`` and ``_main``; PyInstaller's
``pyi_rth_multiprocessing``.
"""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass

from cluster_kit.worker.__main__ import main


@dataclass(frozen=True)
class FrozenWorker:
    """Stands where ``multiprocessing`` expects a process object."""

    channel_fd: int

    def _bootstrap(self, parent_sentinel: int) -> int:
        """Be the worker; ``main`` ends the process."""
        os.close(parent_sentinel)
        main(self.channel_fd)
        return 0


def preparation(channel_fd: int) -> bytes:
    """Return what ``multiprocessing.spawn`` reads: how to prepare, which is not at all, and what to
    be.
    """
    return pickle.dumps({}) + pickle.dumps(FrozenWorker(channel_fd))
