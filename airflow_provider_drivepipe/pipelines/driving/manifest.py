"""The manifest: which objects of a bucket are videos."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
    Column,
    Reason,
)
from airflow_provider_drivepipe.pipelines.driving.options import ManifestOptions
from airflow_provider_drivepipe.stages.stage import Site, Stage, StageGuide

FOLDER_MARKER = "folder_marker"
OTHER_EXTENSION = "other_extension"


@dataclass(frozen=True)
class Manifest(Stage):
    """Lists the videos below a prefix; the first task of a scenario that starts from OSS.

    ``{<partition column>}`` in the prefix becomes the partition's value.
    """

    options: ManifestOptions

    name = "manifest"
    model = None

    def columns(self) -> tuple[Column, ...]:
        """Return the columns of the manifest."""
        return (*self.travelling(), *(STATUS_COLUMNS if self.options.incremental else ()))

    def travelling(self) -> tuple[Column, ...]:
        """Return the columns that tasks behind take along."""
        return (*MANIFEST_COLUMNS, *(CHANGE_COLUMNS if self.options.incremental else ()))

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the options."""
        return asdict(self.options)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        incremental = self.options.incremental
        return StageGuide(
            does="lists the objects below a prefix of the bucket and writes one row per video",
            unit="object",
            gives="videos",
            reads=(),
            fails=(
                "A video of zero bytes is left out and counted as `failed`; folder markers and objects with "
                "another extension are left out and counted as `filtered`. The counts are in the report, the "
                "names in the log."
            ),
            leaves_out=(
                "Videos that another partition of the table has are left out, and counted as `known`. "
                "Copies of videos are `filtered` rows, which no task behind works on."
                if incremental
                else ""
            ),
            reasons=(Reason.EMPTY_FILE, *((Reason.DUPLICATE,) if incremental else ())),
            again="The listing is made again and replaces the partition. No model is called.",
            lists=(
                f"The bucket `{self.options.bucket}` is listed "
                f"{f'below `{self.options.prefix}`' if self.options.prefix else 'as a whole'}. Objects whose "
                f"names end in {', '.join(f'`{each}`' for each in self.options.video_extensions)} are videos."
            ),
            absent=()
            if incremental
            else (
                (
                    ", ".join(f"`{column.name}`" for column in STATUS_COLUMNS),
                    "a row is a video that was found; what was left out is counted in the report",
                    "",
                ),
            ),
            settings={"oss_bucket": self.options.bucket},
        )


class ListedObject(NamedTuple):
    """What OSS says of an object in a listing."""

    key: str
    size: int
    last_modified: str
    """UTC, ``2026-11-20T08:00:00.000Z``."""
    etag: str
    """With the quotation marks that belong to it."""
    storage_class: str


ManifestRow = tuple[str, int, str, str, str, str]
"""A row of the manifest: columns of ``MANIFEST_COLUMNS``."""


@dataclass(frozen=True)
class LeftOut:
    """An object that is not in the manifest: ``failed`` when it should have been a video."""

    reason: str
    failed: bool = False


def manifest_row(found: ListedObject, root: str, extensions: Collection[str]) -> ManifestRow | LeftOut:
    """Return the manifest row of an object, or why it is left out.

    OSS listings carry no CRC-64, so that column is empty.

    :param root: URI of the bucket.
    :param extensions: of videos, in lower case.
    """
    if found.key.endswith("/"):
        return LeftOut(FOLDER_MARKER)
    if _extension(found.key) not in extensions:
        return LeftOut(OTHER_EXTENSION)
    if found.size == 0:
        return LeftOut(Reason.EMPTY_FILE, failed=True)
    modified = found.last_modified[:19].replace("T", " ")
    uri = f"{root}/{found.key}"
    return (uri, found.size, modified, found.etag.strip('"'), "", found.storage_class)


def _extension(key: str) -> str:
    """Return what :class:`pathlib.PurePosixPath` calls the suffix, in lower case, in a tenth of its time."""
    name = key[key.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""
