"""Reads an image file below a mount; what may go wrong with it is a reason, not an exception.

Runs in DPE workers: standard library, numpy and Pillow only.
"""

from __future__ import annotations

import pathlib

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.images import ImageError
from airflow_provider_drivepipe.worker.media_file import check_file
from airflow_provider_drivepipe.worker.paths import inside


def read_image(mount_path: str, key: str, max_bytes: int) -> bytes:
    """Return the bytes of an object of a mount.

    Raises ImageError for more than ``max_bytes``, which are not read, VideoError for what is absent,
    unreadable, empty or elsewhere, OSError when reading fails half-way.
    """
    path = inside(pathlib.Path(mount_path), *key.split("/"))
    size = check_file(str(path))
    if size > max_bytes:
        raise ImageError(Reason.IMAGE_TOO_LARGE, f"{size} bytes, the limit is {max_bytes}")
    return path.read_bytes()


def refusal(error: Exception) -> dict[str, str]:
    """Return reason and message, as JSON can carry them, for whatever working on an image has raised."""
    if isinstance(error, (ImageError, VideoError)):
        return {"reason": error.reason, "message": str(error)}
    if isinstance(error, OSError):
        return {"reason": Reason.ACCESS_DENIED, "message": f"the object cannot be read: {error.strerror}"}
    if isinstance(error, MemoryError):
        return {"reason": Reason.IMAGE_TOO_LARGE, "message": "out of memory"}
    return {"reason": Reason.IMAGE_DECODE_ERROR, "message": f"decoding failed: {type(error).__name__}"}


def why_no_answer(error: ChildTimeoutError | ChildDiedError | OSError, timeout_sec: float) -> dict[str, str]:
    """Return reason and message for an image about which a child process gave no answer."""
    if isinstance(error, ChildTimeoutError):
        return {"reason": Reason.TIMEOUT, "message": f"not done within {timeout_sec:g} seconds"}
    if isinstance(error, ChildDiedError):
        return {"reason": Reason.IMAGE_DECODE_ERROR, "message": f"the decoder process {error}"}
    message = f"no decoder process can be started: {error.strerror}"
    return {"reason": Reason.IMAGE_DECODE_ERROR, "message": message}
