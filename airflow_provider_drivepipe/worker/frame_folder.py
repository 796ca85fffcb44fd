"""The folder that holds the JPEGs of one video: whole files, and none of an earlier run.

Runs in DPE workers: standard library and Pillow only.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from typing import Any

from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.whole_file import write_whole

MAX_NAME_BYTES = 255
"""Longest file name, in bytes, of the file systems that mounts are made of."""

_OURS = re.compile(r".*\.jpg|\.frame-\d+\.tmp", re.DOTALL)


class FrameFolder:
    """Writes ``<image_id>.jpg`` files and remembers them; :meth:`remove_others` deletes what is older."""

    def __init__(self, folder: pathlib.Path, jpeg_quality: int) -> None:
        self._folder = folder
        self._quality = jpeg_quality
        self._written: set[str] = set()

    def write(self, index: int, name: str, image: Any) -> None:
        """Write one picture; where the mount can rename, readers see the old file or the new one."""
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=self._quality)
        self._folder.mkdir(parents=True, exist_ok=True)
        target = self._folder / name
        write_whole(target, self._folder / f".frame-{index:04d}.tmp", encoded.getvalue())
        self._written.add(name)

    def remove_others(self) -> None:
        """Delete JPEGs and unfinished files that :meth:`write` did not write; other files stay."""
        if not self._folder.is_dir():
            return
        for file in list(self._folder.iterdir()):
            if file.name not in self._written and _OURS.fullmatch(file.name):
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()

    def remove_all(self) -> None:
        """Delete the video's JPEGs, this run's and older ones: a failed video has no frames."""
        self._written.clear()
        self.remove_others()


def check_name(name: str) -> None:
    """Raise VideoError for a file name that no file system takes."""
    if len(name.encode()) > MAX_NAME_BYTES:
        raise VideoError(
            "write_error", f"the video's name is too long: its frames' names exceed {MAX_NAME_BYTES} bytes"
        )
