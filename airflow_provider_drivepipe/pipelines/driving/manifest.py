"""The manifest: which objects of a bucket are videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    MANIFEST_COLUMNS,
    STATUS_COLUMNS,
    Column,
    Reason,
)
from airflow_provider_drivepipe.pipelines.driving.options import Listing, ManifestOptions
from airflow_provider_drivepipe.stages.stage import Site, Stage, StageGuide


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
        """Return the options that decide what is found."""
        return asdict(replace(self.options, listing=Listing.CLIENT, workers=None))

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
