"""The folder that holds the pictures of one video: whole files, and none of an earlier run.

Runs in DPE workers: standard library and Pillow only.
"""

from __future__ import annotations

import io
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.worker.output_folder import OutputFolder

EXTENSIONS = {"jpeg": ".jpg", "webp": ".webp"}
"""Of the formats that are written, by their name."""
_OURS = re.compile(r".*\.(jpg|webp)|\.frame-\d+\.tmp", re.DOTALL)


class FrameFolder:
    """Writes pictures and remembers them; :meth:`remove_others` deletes what is older.

    Every method raises VideoError ``path_traversal`` when a link is part of the folder's path.
    """

    def __init__(self, mount: pathlib.Path, segments: Sequence[str]) -> None:
        self._mount = mount
        self._segments = segments
        self._written: set[str] = set()

    def write(self, index: int, name: str, image: Any, image_format: str, quality: int) -> None:
        """Write one picture; where the mount can rename, readers see the old file or the new one.

        :param image_format: key of :data:`EXTENSIONS`.
        :param quality: 1 to 100.
        """
        encoded = io.BytesIO()
        image.save(encoded, image_format, quality=quality)
        with OutputFolder(self._mount, self._segments, create=True) as folder:
            folder.write(name, f".frame-{index:04d}.tmp", encoded.getvalue())
        self._written.add(name)

    def remove_others(self) -> None:
        """Delete pictures and unfinished files that :meth:`write` did not write; other files stay."""
        try:
            opened = OutputFolder(self._mount, self._segments, create=False)
        except FileNotFoundError:
            return
        with opened as folder:
            for name in folder.names():
                if name not in self._written and _OURS.fullmatch(name):
                    folder.remove(name)

    def remove_all(self) -> None:
        """Delete the video's pictures, this run's and older ones: a failed video has no frames."""
        self._written.clear()
        self.remove_others()
