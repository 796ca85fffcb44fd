"""Files and folders that are still there after a crash of the machine, not only of the process."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Have the system write a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folders(path: Path) -> None:
    """Make a folder and those above it; FileExistsError or NotADirectoryError when a file is in the way."""
    if path.is_dir():
        return
    make_folders(path.parent)
    path.mkdir(exist_ok=True)
    sync(path.parent)


def replace(source: Path, target: Path) -> None:
    """Give a file, whose content is on disk already, its final name in one step."""
    source.replace(target)
    sync(target.parent)
