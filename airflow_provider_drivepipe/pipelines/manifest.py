"""Decides of each listed object whether it is a video of the manifest; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Protocol

from airflow_provider_drivepipe.contracts import OssUri, Reason

FOLDER_MARKER = "folder_marker"
OTHER_EXTENSION = "other_extension"


class ListedObject(Protocol):
    """The part of the OSS SDK's ``ObjectProperties`` that is read here."""

    key: str
    size: int
    last_modified: datetime
    etag: str
    storage_class: str


@dataclass(frozen=True)
class LeftOut:
    """An object that is not in the manifest: ``failed`` when it should have been a video."""

    reason: str
    failed: bool = False


def manifest_row(
    found: ListedObject, root: OssUri, video_extensions: Sequence[str]
) -> tuple[str, int, str, str, str, str] | LeftOut:
    """Return the manifest row of an object (columns of ``MANIFEST_COLUMNS``), or why it is left out.

    OSS listings carry no CRC-64, so that column is empty.
    """
    if found.key.endswith("/"):
        return LeftOut(FOLDER_MARKER)
    extensions = {e.lower() for e in video_extensions}
    if PurePosixPath(found.key).suffix.lower() not in extensions:
        return LeftOut(OTHER_EXTENSION)
    if found.size == 0:
        return LeftOut(Reason.EMPTY_FILE, failed=True)
    modified = found.last_modified.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    uri = str(OssUri(root.endpoint, root.bucket, found.key))
    return (uri, found.size, modified, (found.etag or "").strip('"'), "", found.storage_class or "")
