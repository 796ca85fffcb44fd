"""Frame extraction as a lazy MaxFrame graph: videos in, one row per frame out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import cloudpickle
from maxframe.udf import with_fs_mount, with_python_requirements, with_running_options

from airflow_provider_drivepipe import worker
from airflow_provider_drivepipe.pipelines.context import (
    PILLOW_REQUIREMENT,
    PYAV_REQUIREMENT,
    MountOptions,
    declared_dtypes,
)
from airflow_provider_drivepipe.scenario.options import FrameOptions, QualityOptions
from airflow_provider_drivepipe.worker.frame_quality import QualityRules
from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames, frame_dtypes

# DPE workers do not have this package: its worker functions travel as code, not as names.
cloudpickle.register_pickle_by_value(worker)


def frame_job(
    options: FrameOptions,
    mount: MountOptions,
    folder: str,
    lineage: tuple[str, ...],
    quality: QualityOptions | None = None,
) -> FrameJob:
    """Return what the worker needs to know; JPEGs go to ``<root>/<folder>/<video_id>/``.

    Raises ValueError for options that no video can fulfil.
    """
    job = FrameJob(
        oss_root=mount.root,
        mount_path=mount.path,
        output_prefix=folder,
        fps=options.fps,
        sample_count=options.sample_count,
        sampling_rule=str(options.sampling_rule),
        jpeg_quality=options.jpeg_quality,
        timeout_sec=options.timeout_sec,
        lineage=lineage,
        quality=None if quality is None else QualityRules(**asdict(quality)),
    )
    job.check()
    return job


def extract(videos: Any, options: FrameOptions, mount: MountOptions, job: FrameJob) -> Any:
    """Return the lazy frame rows of ``videos`` (a lazy DataFrame of selected input rows).

    Rows have a fresh index, unique over all chunks, so that later stages can be joined to them.
    """

    def frame_extraction(chunk: Any) -> Any:
        return extract_frames(chunk, job)

    udf = with_running_options(engine="dpe", cpu=options.cpu, memory=options.memory_gb)(frame_extraction)
    udf = with_python_requirements(PYAV_REQUIREMENT, PILLOW_REQUIREMENT)(udf)
    udf = with_fs_mount(mount.root, mount.path, storage_options={"role_arn": mount.role_arn})(udf)
    lineage_dtypes = {name: videos.dtypes[name] for name in job.lineage}
    frames = videos.mf.apply_chunk(
        udf,
        batch_rows=options.batch_rows,
        output_type="dataframe",
        dtypes=declared_dtypes(frame_dtypes(lineage_dtypes, measured=job.quality is not None)),
        skip_infer=True,
    )
    return frames.reset_index(drop=True)
