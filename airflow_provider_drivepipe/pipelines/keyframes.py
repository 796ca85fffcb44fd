"""Keyframe expansion as a lazy MaxFrame graph: clips in, one row per keyframe out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import cloudpickle
from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.pipelines.context import PILLOW_REQUIREMENT, MountOptions, declared_dtypes
from airflow_provider_drivepipe.pipelines.fingerprint import RULES, quality_fingerprint
from airflow_provider_drivepipe.scenario.options import KeyframeOptions, QualityOptions
from airflow_provider_drivepipe.worker.frame_quality import QualityRules
from airflow_provider_drivepipe.worker.keyframe_quality import KeyframeQuality
from airflow_provider_drivepipe.worker.keyframes import KeyframeJob, expand_clips, keyframe_dtypes

# DPE workers do not have this package: its worker functions travel as code, not as names.
cloudpickle.register_pickle_by_value(worker)

KEYFRAMES_RESULT_VERSION = 1
"""Raised by hand when the same options start to give other rows."""

_CONTENT = ("count", "stride", "image_extensions", "timestamp_unit")
"""Options that change what comes out. The input's columns do so by their values, which identify the clip."""


_LIMITS = ("max_pixels", "max_bytes")
"""Options that decide which keyframes fail, where they are measured."""


def keyframes_fingerprint(
    options: KeyframeOptions, oss_root: str, quality: QualityOptions | None = None
) -> dict[str, str]:
    """Return the hashes of what decides the rows, by part; ``oss_root`` counts because rows hold full URIs.

    Where keyframes are measured, the rules have a part of their own, as they do for frames of videos.
    """
    content = {name: value for name, value in asdict(options).items() if name in _CONTENT}
    text = json.dumps(["keyframes", KEYFRAMES_RESULT_VERSION, {**content, "oss_root": oss_root}])
    hashes = {"keyframes": hashlib.sha256(text.encode()).hexdigest()[:16]}
    if quality is not None:
        hashes[RULES] = quality_fingerprint(quality, {n: getattr(options, n) for n in _LIMITS})
    return hashes


def keyframe_job(
    options: KeyframeOptions,
    mount: MountOptions,
    time_columns: tuple[str | None, str | None],
    lineage: tuple[str, ...],
    quality: QualityOptions | None = None,
) -> KeyframeJob:
    """Return what the worker needs to know; ``time_columns`` are the range's, None where there is none.

    Without ``quality`` no image is opened.
    """
    start_column, end_column = time_columns
    return KeyframeJob(
        oss_root=mount.root,
        mount_path=mount.path,
        clip_id_column=options.clip_id_column,
        clip_dir_column=options.clip_dir_column,
        start_column=start_column,
        end_column=end_column,
        count=options.count,
        stride=options.stride,
        image_extensions=options.image_extensions,
        timestamp_unit=str(options.timestamp_unit),
        max_files=options.max_files,
        timeout_sec=options.timeout_sec,
        lineage=lineage,
        quality=None if quality is None else _quality(options, quality),
    )


def _quality(options: KeyframeOptions, quality: QualityOptions) -> KeyframeQuality:
    return KeyframeQuality(
        QualityRules(**asdict(quality)), options.max_pixels, options.max_bytes, options.image_timeout_sec
    )


def expand(clips: Any, options: KeyframeOptions, mount: MountOptions, job: KeyframeJob) -> Any:
    """Return the lazy keyframe rows of ``clips`` (a lazy DataFrame of selected input rows).

    Rows have a fresh index, unique over all chunks, so that later stages can be joined to them.
    """

    def keyframe_expansion(chunk: Any) -> Any:
        return expand_clips(chunk, job)

    udf = with_running_options(engine="dpe", cpu=options.cpu, memory=options.memory_gb)(keyframe_expansion)
    if job.quality is not None:
        udf = with_python_requirements(PILLOW_REQUIREMENT)(udf)
    udf = with_fs_mount(mount.root, mount.path, storage_options={"role_arn": mount.role_arn})(udf)
    lineage_dtypes = {name: clips.dtypes[name] for name in job.lineage}
    keyframes = clips.mf.apply_chunk(
        udf,
        batch_rows=options.batch_rows,
        output_type="dataframe",
        dtypes=declared_dtypes(keyframe_dtypes(lineage_dtypes, measured=job.quality is not None)),
        skip_infer=True,
    )
    return keyframes.reset_index(drop=True)
