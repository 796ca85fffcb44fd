"""Image preparation as a lazy MaxFrame graph: rows with an ``image_url`` in, the same with features out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import cloudpickle
from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.pipelines.context import PILLOW_REQUIREMENT, MountOptions, declared_dtypes
from airflow_provider_drivepipe.scenario.options import ImageOptions
from airflow_provider_drivepipe.worker.image_preparation import ImageJob, image_dtypes, prepare_images
from airflow_provider_drivepipe.worker.images import TargetSize

# DPE workers do not have this package: its worker functions travel as code, not as names.
cloudpickle.register_pickle_by_value(worker)

IMAGES_RESULT_VERSION = 1
"""Raised by hand when the same options start to give other rows or images."""

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


def images_fingerprint(options: ImageOptions, oss_root: str) -> str:
    """Return 16 hex digits over what decides the rows; ``oss_root`` counts because rows hold full URIs."""
    left_out = _NOT_CONTENT if options.write_back or options.inline else (*_NOT_CONTENT, *_OF_WRITTEN_IMAGES)
    content = {name: value for name, value in asdict(options).items() if name not in left_out}
    text = json.dumps(
        ["images", IMAGES_RESULT_VERSION, {**content, "oss_root": oss_root}], sort_keys=True, default=str
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def image_job(options: ImageOptions, mount: MountOptions, folder: str, lineage: tuple[str, ...]) -> ImageJob:
    """Return what the worker needs to know; images go to ``<root>/<folder>/``.

    Raises ValueError for options that no image can fulfil.
    """
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
    return job


def prepare(images: Any, options: ImageOptions, mount: MountOptions, job: ImageJob) -> Any:
    """Return the lazy rows of ``images`` (a lazy DataFrame of selected input rows) with their features.

    Rows have a fresh index, unique over all chunks, so that later stages can be joined to them.
    """

    def image_preparation(chunk: Any) -> Any:
        return prepare_images(chunk, job)

    udf = with_running_options(engine="dpe", cpu=options.cpu, memory=options.memory_gb)(image_preparation)
    udf = with_python_requirements(PILLOW_REQUIREMENT)(udf)
    udf = with_fs_mount(mount.root, mount.path, storage_options={"role_arn": mount.role_arn})(udf)
    lineage_dtypes = {name: images.dtypes[name] for name in job.lineage}
    rows = images.mf.apply_chunk(
        udf,
        batch_rows=options.batch_rows,
        output_type="dataframe",
        dtypes=declared_dtypes(image_dtypes(lineage_dtypes, job.inline)),
        skip_infer=True,
    )
    return rows.reset_index(drop=True)
