"""What can be said of a video file before it is decoded, or when it cannot be opened. Runs in DPE workers."""

from __future__ import annotations

import errno
import os
import pathlib
import stat
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_FORBIDDEN = (errno.EACCES, errno.EPERM)
_MAX_BOXES = 4096


def check_file(path: str) -> int:
    """Return the size in bytes; raise VideoError for what is absent, unreadable, empty or no file."""
    try:
        if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
            raise VideoError(
                Reason.NOT_FOUND, "there is no object of this name, only a folder or a special file"
            )
        with pathlib.Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise VideoError(Reason.NOT_FOUND, "there is no such object") from error
        if error.errno in _FORBIDDEN:
            raise VideoError(Reason.ACCESS_DENIED, "the object may not be read") from error
        raise VideoError(Reason.ACCESS_DENIED, f"the object cannot be read: {error.strerror}") from error
    if size == 0:
        raise VideoError(Reason.EMPTY_FILE, "the file has no bytes")
    return size


def why_not_opened(path: str) -> VideoError:
    """Tell a cut-off MP4 from something that is no video."""
    with pathlib.Path(path).open("rb") as file:
        boxes = top_level_boxes(file)
    names = {box.name for box in boxes}
    if names & {"ftyp", "mdat"} and "moov" not in names:
        return VideoError(Reason.TRUNCATED, "media data without an index (moov): the file was cut off")
    if any(box.name in ("moov", "moof") and box.missing for box in boxes):
        return VideoError(Reason.TRUNCATED, "an index (moov or moof) ends early: the file was cut off")
    if "moov" in names:
        return VideoError(Reason.NOT_A_VIDEO, "the index (moov) cannot be read")
    return VideoError(Reason.NOT_A_VIDEO, "the content is no known video format")


def has_cut_fragment(path: str) -> bool:
    """Return whether an MP4 is fragmented and its last fragment is incomplete."""
    with pathlib.Path(path).open("rb") as file:
        boxes = top_level_boxes(file)
    return any(box.name == "moof" for box in boxes) and any(box.missing for box in boxes)


@dataclass(frozen=True)
class Box:
    """A part of an ISO media file: positions where its content starts and ends, and the bytes it lacks."""

    name: str
    start: int
    stop: int
    missing: int


def top_level_boxes(file: BinaryIO) -> list[Box]:
    """Return an ISO media file's top-level boxes; empty for other formats."""
    boxes: list[Box] = []
    end = file.seek(0, os.SEEK_END)
    position = 0
    while position + 8 <= end and len(boxes) < _MAX_BOXES:
        file.seek(position)
        header = file.read(16)
        size, name, start = int.from_bytes(header[:4], "big"), header[4:8], position + 8
        if not (name.isascii() and name.isalnum()):
            break
        if size == 1 and len(header) == 16:
            size, start = int.from_bytes(header[8:16], "big"), position + 16
        elif size == 0:
            size = end - position
        stop = position + size
        boxes.append(Box(name.decode("ascii"), start, stop, max(0, stop - end)))
        if size < 8:
            break
        position = stop
    return boxes
