"""Starts a worker in a frozen program, which has no interpreter that could be given a file to run.

In a program that PyInstaller, cx_Freeze or Nuitka made, ``multiprocessing.freeze_support()``
unpickles a process object from a pipe if the command line says ``--multiprocessing-fork``, and
calls its ``_bootstrap``. This module provides such an object.

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
    """Takes the place of a ``multiprocessing`` process object."""

    channel_fd: int

    def _bootstrap(self, parent_sentinel: int) -> int:
        """Become the worker; ``main`` ends the process."""
        os.close(parent_sentinel)
        main(self.channel_fd)
        return 0


def preparation(channel_fd: int) -> bytes:
    """Return what ``multiprocessing.spawn`` reads: no preparation data, then the process object."""
    return pickle.dumps({}) + pickle.dumps(FrozenWorker(channel_fd))
