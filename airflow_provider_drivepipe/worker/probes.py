"""What ``drivepipe doctor`` lets a DPE worker do. Runs in DPE workers: standard library and pandas only."""

from __future__ import annotations

import os
import pathlib
import platform
from collections.abc import Callable
from typing import Any

RESPONSE, SUCCESS = "response", "success"


def report(rows: Any, probe: Callable[[], str]) -> Any:
    """Return what a probe found, or why it failed, in each of the rows."""
    try:
        said, worked = probe(), True
    except (ImportError, OSError) as error:
        said, worked = f"{type(error).__name__}: {error}", False
    rows = rows[[]].copy()
    rows[RESPONSE], rows[SUCCESS] = said, worked
    return rows


def interpreter() -> str:
    """Return the worker's Python version."""
    return f"Python {platform.python_version()}"


def look_into(folder: str) -> str:
    """Return how many entries of a mounted folder are seen, at most a few."""
    with os.scandir(folder) as entries:
        seen = sum(1 for _ in zip(entries, range(10), strict=False))
    return f"entries seen: {seen if seen < 10 else '10 or more'}"


def read_and_write(source: str, target: str) -> str:
    """Copy a file of a mount within it."""
    content = pathlib.Path(source).read_bytes()
    pathlib.Path(target).write_bytes(content)
    return f"{len(content)} bytes read and written"


def frame_engine() -> str:
    """Import what frames are made with."""
    import av
    import PIL

    return f"av {av.__version__}, Pillow {PIL.__version__}"
