"""Image preparation: features of each image of a table, and an upright RGB JPEG of a wanted size in OSS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import (
    IMAGE_COLUMNS,
    Column,
    Reason,
    image_key,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.frames import PATH_REASONS, THE_IMAGE, oss_settings
from airflow_provider_drivepipe.pipelines.driving.options import ImageOptions, OssOptions, PreparedImages
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.stage import (
    STATUS_NAMES,
    Build,
    Grain,
    InputColumn,
    PictureFolder,
    PicturePlace,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    check_names,
)
from airflow_provider_drivepipe.stages.worker_call import PILLOW_REQUIREMENT, MountOptions, WorkerCall
from airflow_provider_drivepipe.worker.image_preparation import INLINE_NAME

if TYPE_CHECKING:
    from airflow_provider_drivepipe.worker.image_preparation import ImageJob

IMAGE_INPUT = (
    InputColumn("image_url", True, "full OSS URI of the image, `oss://<endpoint>/<bucket>/<key>`"),
    InputColumn("image_id", False, "name of the image; with `image_url` it tells rows apart"),
    InputColumn("video_path", False, "where the image comes from; with `frame_idx` it tells rows apart"),
    InputColumn("clip_id", False, "the same for images of clips, with `clip_dir`"),
    InputColumn("frame_idx", False, "number of the image within its video"),
    InputColumn("status", False, "with the other status columns: rows that are not `ok` pass by unchanged"),
)
"""What stages read that see the images of a table."""

_NOT_CONTENT = ("timeout_sec", "cpu", "memory_gb", "batch_rows")
"""Options that change how the work is done, not what comes out."""
_OF_WRITTEN_IMAGES = (
    "longest_side",
    "exact_size",
    "enlarge",
    "resize_filter",
    "jpeg_quality",
    "prepared_prefix",
)
"""Options that do not matter when no image is written."""


@dataclass(frozen=True)
class ImagePreparation(UnitStage):
    """Decodes, turns, resizes and measures images, one row for each input row.

    An image whose object changes under the same URL is prepared again when the input has a column ``etag``,
    or with ``reprocess: all``.

    :param oss: bucket (or full root URI) that holds the images and receives the prepared ones.
    :param images: size, filter, quality, limits, deadline and resources; ``prepared_prefix`` is set.
    """

    oss: OssOptions
    images: ImageOptions

    name = "image_preparation"
    hash_name = "images"
    grain = Grain.ROW
    with_parts = "image_labels"
    units_per_job = 20_000
    weighed_by = ("size_bytes",)
    mounts = True

    replaced = frozenset(("width", "height", "phash", "size_bytes"))
    """Columns of a stage's table whose place its own values take: they say the same of its images, or, as
    ``size_bytes`` of a manifest, something of the video, which stays in that table."""

    @property
    def passed_on(self) -> tuple[str, ...]:
        """The image itself, where it is not written."""
        return (INLINE_NAME,) if self.images.inline else ()

    @property
    def prepared_image(self) -> Image:
        """What models behind it in the same job see."""
        return Image(INLINE_NAME, inline=True) if self.images.inline else Image("prepared_url")

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return IMAGE_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are the rows of the input."""
        names = [c.name for c in source]
        if "image_url" not in names:
            raise ConfigurationError(
                f"table {table} has no column image_url (its columns: {', '.join(names)})"
            )
        has_status = set(names) >= STATUS_NAMES
        replaced = STATUS_NAMES | self.replaced if has_status else set()
        travelling = tuple(c for c in source if c.name not in replaced)
        check_names(travelling, STATUS_NAMES | {c.name for c in IMAGE_COLUMNS})
        key = image_key(names)
        return UnitLayout(
            unit_key=key,
            row_key=key,
            identity=("image_url", *(c for c in ("etag", "fingerprint") if c in names)),
            source_columns=travelling,
            columns=(*travelling, *IMAGE_COLUMNS),
            has_status=has_status,
        )

    def content(self, site: Site) -> Mapping[str, object]:
        """Return the options; the root counts because rows hold full URIs."""
        written = self.images.write_back or self.images.inline
        left_out = _NOT_CONTENT if written else (*_NOT_CONTENT, *_OF_WRITTEN_IMAGES)
        content = {name: value for name, value in asdict(self.images).items() if name not in left_out}
        return {**content, "oss_root": str(self._root(site))}

    def pictures_below(self) -> PicturePlace | None:
        """Return where it writes pictures, None where it writes none."""
        if not self.images.write_back:
            return None
        return PicturePlace("prepared_prefix", self.oss.root or self.oss.bucket, self.images.prepared_prefix)

    def pictures(self, site: Site, partition_path: str, hashes: Mapping[str, str]) -> PictureFolder | None:
        """Return where a run writes prepared images, None where it writes none."""
        if not self.images.write_back:
            return None
        place = self._root(site).join(self.images.prepared_prefix, partition_path)
        return PictureFolder("prepared_url", place, hashes[self.hash_name])

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy rows of lazy images, prepared."""
        return self._prepared(units, build, build.source_columns)

    def again(self, rows: Any, build: Build) -> Any:
        """Return published rows, prepared again where no table holds the image that models get."""
        if not self.images.inline:
            return rows
        made = {c.name for c in IMAGE_COLUMNS} | STATUS_NAMES
        return self._prepared(rows, build, [name for name in rows.dtypes.index if name not in made])

    def _prepared(self, rows: Any, build: Build, lineage: Sequence[str]) -> Any:
        from airflow_provider_drivepipe.worker.image_preparation import image_dtypes, prepare_images

        options = self.images
        mount = MountOptions(str(self._root(build.site)), self.oss.mount_path, build.site.role_arn())
        job = self.job(mount, build, tuple(lineage))

        def image_preparation(chunk: Any) -> Any:
            return prepare_images(chunk, job)

        call = WorkerCall(options.cpu, options.memory_gb, options.batch_rows, (PILLOW_REQUIREMENT,), mount)
        dtypes = image_dtypes({name: rows.dtypes[name] for name in job.lineage}, job.inline)
        # A fresh index, unique over all chunks, so that answers of models can be joined to the rows.
        return call.rows(rows, image_preparation, dtypes).reset_index(drop=True)

    def job(self, mount: MountOptions, build: Build, lineage: tuple[str, ...]) -> ImageJob:
        """Return what the worker needs to know; ``lineage`` are the columns that travel through."""
        from airflow_provider_drivepipe.worker.image_preparation import ImageJob
        from airflow_provider_drivepipe.worker.images import TargetSize

        options = self.images
        prefix = options.prepared_prefix.strip("/")
        folder = f"{prefix}/{build.partition_path}/{build.hashes[self.hash_name]}"
        try:
            if options.write_back and options.inline:
                raise ValueError("images are either written back or passed on inline")
            job = ImageJob(
                oss_root=mount.root,
                mount_path=mount.path,
                output_prefix=folder if options.write_back else None,
                size=TargetSize(options.longest_side, options.exact_size, options.enlarge),
                resize_filter=str(options.resize_filter),
                jpeg_quality=options.jpeg_quality,
                max_pixels=options.max_pixels,
                max_bytes=options.max_bytes,
                timeout_sec=options.timeout_sec,
                lineage=lineage,
                inline=options.inline,
            )
            job.check()
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return job

    def _root(self, site: Site) -> Any:
        return site.oss_root(self.oss.bucket, self.oss.root)

    def facts(self) -> dict[str, str]:
        """Return which size images get, and where they go."""
        exact, longest = self.images.exact_size, self.images.longest_side
        size = f"{exact[0]}x{exact[1]}" if exact else f"longest side {longest}" if longest else "size kept"
        written = f"below {self.images.prepared_prefix}/" if self.images.write_back else "not written"
        return {"images": f"{size}, {written}"}

    @property
    def _becomes(self) -> PreparedImages:
        if self.images.inline:
            return PreparedImages.INLINE
        return PreparedImages.WRITE_BACK if self.images.write_back else PreparedImages.FEATURES

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="decodes, turns, resizes and measures each image",
            unit="image",
            gives="prepared images",
            reads=(
                *IMAGE_INPUT,
                InputColumn(
                    "etag", False, "tells an image that changed under its URL; without it only that counts"
                ),
            ),
            fails="An image that fails keeps its row without features; no model is called for it.",
            reasons=(
                *PATH_REASONS,
                Reason.IMAGE_DECODE_ERROR,
                Reason.IMAGE_TOO_LARGE,
                Reason.TIMEOUT,
                Reason.WRITE_ERROR,
            ),
            again="Images that are new, that changed or that failed are prepared again.",
            absent=(THE_IMAGE,),
            settings={
                **oss_settings(self.oss),
                "prepared_images": self._becomes,
                "prepared_prefix": self.images.prepared_prefix if self.images.write_back else None,
                "image_longest_side": self.images.longest_side,
                "image_exact_size": self.images.exact_size,
            },
        )
