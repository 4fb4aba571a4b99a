"""Tells PyInstaller, by an entry point of the group ``pyinstaller40``, where its hook for this
package is.

Source: PyInstaller's manual, "Providing PyInstaller Hooks with your Package".
"""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Return the folder of the hook."""
    return [str(Path(__file__).parent)]
