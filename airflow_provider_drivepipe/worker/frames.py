"""The frame-extraction UDF: one row per video in, one row per frame out. Runs in DPE workers.

Imports the standard library, pandas, numpy, PyAV and Pillow only.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import (
    DECODE_NOTE,
    FRAME_COLUMNS,
    FRAME_QUALITY_COLUMNS,
    STATUS_COLUMNS,
    Reason,
    Status,
    image_id,
    video_id,
)
from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError, run_in_child
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.frame_folder import EXTENSIONS, FrameFolder
from airflow_provider_drivepipe.worker.frame_quality import (
    MEASURE_NAMES,
    Look,
    QualityRules,
    judged,
    measure,
)
from airflow_provider_drivepipe.worker.paths import (
    check_output_prefix,
    inside,
    key_below_root,
    object_key,
    output_url,
)
from airflow_provider_drivepipe.worker.rows import OK_CELLS, STATUS_NAMES, dtypes_of, failed_cells
from airflow_provider_drivepipe.worker.serving_child import ServingChild
from airflow_provider_drivepipe.worker.timeline import Sampling
from airflow_provider_drivepipe.worker.video import decode_samples, load_decoder

OWN_NAMES = tuple(column.name for column in FRAME_COLUMNS)
STAGE = "frame_extraction"

_DTYPES = dtypes_of((*FRAME_COLUMNS, *FRAME_QUALITY_COLUMNS, DECODE_NOTE, *STATUS_COLUMNS))
_CLEANUP_SEC = 30.0
_VIDEO_ID_BYTES = len("/0123456789abcdef")
_SHORTEST_NAME_BYTES = len("/v_0000.webp")


@dataclass(frozen=True)
class FrameJob:
    """What one call of :func:`extract_frames` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; pictures go below its ``output_prefix``.
    ``lineage`` are the input columns that travel through. ``timeout_sec`` is the deadline per video.
    With ``quality`` rows hold the frames' measures, and frames that a rule leaves out are ``filtered``; their
    pictures stay, so that other thresholds need no video again. Frames with sides above ``longest_side``
    pixels are made smaller. With ``allow_partial`` a video that was cut off gives the frames that are whole,
    and ``decode_note`` says what is missing.
    """

    oss_root: str
    mount_path: str
    output_prefix: str
    fps: str | None
    sample_count: int | None
    sampling_rule: str
    jpeg_quality: int
    timeout_sec: int
    lineage: tuple[str, ...]
    quality: QualityRules | None = None
    longest_side: int | None = None
    allow_partial: bool = False
    snap_to_keyframe_ms: int | None = None
    image_format: str = "jpeg"

    def own_names(self) -> tuple[str, ...]:
        """Return the columns that the stage makes, status columns not counted."""
        measures = () if self.quality is None else MEASURE_NAMES
        return (*OWN_NAMES, *measures, *((DECODE_NOTE.name,) if self.allow_partial else ()))

    def dtypes(self, lineage: Mapping[str, Any]) -> dict[str, Any]:
        """Return the dtype of every output column; integers are nullable, so NULL stays NULL.

        :param lineage: dtypes of the input columns that travel through.
        """
        own = {name: _DTYPES[name] for name in self.own_names()}
        return {**own, **lineage, **{name: _DTYPES[name] for name in STATUS_NAMES}}

    def check(self) -> None:
        """Raise ValueError for a job that no video can fulfil."""
        self.sampling()
        if self.image_format not in EXTENSIONS:
            raise ValueError(f"unknown image format {self.image_format!r}; known: {', '.join(EXTENSIONS)}")
        check_output_prefix(self.output_prefix, self.oss_root, _VIDEO_ID_BYTES + _SHORTEST_NAME_BYTES)

    def sampling(self) -> Sampling:
        """Return the parsed sampling; raise ValueError when it makes no sense."""
        return Sampling.of(self.fps, self.sample_count, self.sampling_rule, self.snap_to_keyframe_ms)


def extract_frames(videos: Any, job: FrameJob) -> Any:
    """Return the frame rows of ``videos`` (a pandas DataFrame); every video gives at least one row.

    A video that fails gives one row with ``frame_idx`` -1 and its reason. Raises ValueError for a job that no
    video can fulfil, KeyError for an input without one of the lineage columns.
    """
    import pandas as pd

    job.check()
    load_decoder()
    rows: list[dict[str, Any]] = []
    sources: list[int] = []
    records = videos.to_dict("records")
    with _decoder_process(records, job) as child:
        for number, video in enumerate(records):
            started = time.monotonic()
            made = _rows_of_video(number, video, job, child)
            rows += made
            sources += [number] * len(made)
            failed = made[0]["status"] == Status.FAILED
            outcome = made[0]["error_type"] if failed else f"{len(made)} frames"
            # Only a path that was accepted is fit to print.
            name = made[0]["video_path"] if made[0]["video_id"] else f"row {number}"
            print(f"{name}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    names = list(job.own_names())
    own = pd.DataFrame(rows, columns=[*names, *STATUS_NAMES], dtype=object)
    own = own.astype({name: _DTYPES[name] for name in own.columns})
    # Taken, not rebuilt, so that lineage keeps its types: an integer column with NULLs stays one.
    lineage = videos[list(job.lineage)].iloc[sources].reset_index(drop=True)
    return pd.concat([own[names], lineage, own[list(STATUS_NAMES)]], axis=1)


def _decoder_process(videos: list[dict[str, Any]], job: FrameJob) -> ServingChild:
    """Return the process that answers for a video by its number, and is replaced when it hangs or crashes."""
    parent = os.getpid()

    def answer(number: int) -> dict[str, Any]:
        path = videos[number]["video_path"]
        key = key_below_root(path, job.oss_root)
        return _answer(key, video_id(object_key(path, job.oss_root)), job, parent)

    return ServingChild(answer, job.timeout_sec)


def _rows_of_video(
    number: int, video: dict[str, Any], job: FrameJob, child: ServingChild
) -> list[dict[str, Any]]:
    path = video.get("video_path")
    base: dict[str, Any] = {
        "video_path": _text(path),
        "video_id": None,
        "attempt": _attempt(video.get("attempt")),
        "fingerprint": _text(video.get("fingerprint")),
    }
    try:
        key_below_root(path, job.oss_root)
        base["video_id"] = identity = video_id(object_key(str(path), job.oss_root))
        samples = _extract(number, identity, job, child)
    except VideoError as error:
        return [
            {
                **base,
                "frame_idx": -1,
                **failed_cells(STAGE, error.reason, _message(error, job)),
            }
        ]
    return [{**base, **OK_CELLS, **sample} for sample in samples]


def _attempt(value: Any) -> int:
    """Return the number of this try; 1 where the input does not say."""
    try:
        return max(1, int(value))
    except (TypeError, ValueError, OverflowError):
        return 1


def _text(value: Any) -> str | None:
    """Return text that a table can hold; half a surrogate pair becomes a question mark."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _message(error: VideoError, job: FrameJob) -> str:
    """Return one line without local paths."""
    text = str(error).replace(job.mount_path, "")
    return " ".join(text.split())


def _extract(number: int, video: str, job: FrameJob, child: ServingChild) -> list[dict[str, Any]]:
    """Extract in a child process: a decoder that hangs or crashes takes nothing else with it.

    Returns the frames' own columns; raises VideoError, and then no picture of this video is left.
    """
    try:
        answer = child.ask(number)
    except ChildTimeoutError as error:
        _clean_up(video, job)
        raise VideoError(Reason.TIMEOUT, f"not done within {job.timeout_sec} seconds") from error
    except ChildDiedError as error:
        _clean_up(video, job)
        raise VideoError(Reason.DECODE_ERROR, f"the decoder process {error}") from error
    except OSError as error:
        raise VideoError(
            Reason.DECODE_ERROR, f"no decoder process can be started: {error.strerror}"
        ) from error
    if "reason" in answer:
        raise VideoError(answer["reason"], answer["message"])
    samples: list[dict[str, Any]] = answer["samples"]
    return samples


def _answer(key: str, video: str, job: FrameJob, parent: int) -> dict[str, Any]:
    """Extract and return the samples or the reason, as JSON can carry them."""
    try:
        return {"samples": _write_frames(key, video, job, parent)}
    except VideoError as error:
        return {"reason": error.reason, "message": str(error)}
    except MemoryError:
        return {"reason": Reason.DECODE_ERROR, "message": "out of memory while decoding"}
    except OSError as error:
        return {"reason": Reason.WRITE_ERROR, "message": f"frames cannot be written: {error.strerror}"}
    except Exception as error:  # noqa: BLE001  (one broken video must not fail the others of its chunk)
        return {"reason": Reason.DECODE_ERROR, "message": f"decoding failed: {type(error).__name__}"}


def _write_frames(key: str, video: str, job: FrameJob, parent: int) -> list[dict[str, Any]]:
    mount = pathlib.Path(job.mount_path)
    source = inside(mount, *key.split("/"))
    folder = FrameFolder(mount, (*job.output_prefix.split("/"), video))
    rows: dict[int, dict[str, Any]] = {}
    looks: dict[int, Look] = {}
    notes: list[str] = []
    note_cut = notes.append if job.allow_partial else None
    try:
        for sample in decode_samples(str(source), job.sampling(), job.longest_side, note_cut):
            if os.getppid() != parent:
                # Nobody waits any more; another try may be writing to this folder.
                os._exit(1)
            stem = image_id(key, sample.index)
            name = stem + EXTENSIONS[job.image_format]
            url = output_url(job.oss_root, job.output_prefix, video, name)
            folder.write(sample.index, name, sample.image, job.image_format, job.jpeg_quality)
            rows[sample.index] = {
                "frame_idx": sample.index,
                "frame_time_ms": sample.time_ms,
                "image_id": stem,
                "image_url": url,
                "width": sample.image.width,
                "height": sample.image.height,
            }
            if job.quality is not None:
                looks[sample.index] = measure(sample.image)
        folder.remove_others()
    except BaseException:
        # That leftovers cannot be removed is less worth knowing than why there are any.
        with contextlib.suppress(OSError, VideoError):
            folder.remove_all()
        raise
    in_order = sorted(rows)
    noted = {DECODE_NOTE.name: "; ".join(notes)} if notes else {}
    if job.quality is None:
        return [{**rows[index], **noted} for index in in_order]
    columns = judged([looks[index] for index in in_order], job.quality, STAGE)
    return [{**rows[index], **noted, **own} for index, own in zip(in_order, columns, strict=True)]


def _clean_up(video: str, job: FrameJob) -> None:
    """Remove what a child that was killed has left; in a child too, for the mount itself may hang."""

    def remove() -> str:
        mount = pathlib.Path(job.mount_path)
        try:
            FrameFolder(mount, (*job.output_prefix.split("/"), video)).remove_all()
        except (VideoError, OSError) as error:
            return type(error).__name__
        return ""

    try:
        problem = run_in_child(remove, _CLEANUP_SEC)
    except (ChildTimeoutError, ChildDiedError, OSError) as error:
        problem = type(error).__name__
    if problem:
        print(f"{video}: older frames could not be removed: {problem}", flush=True)  # noqa: T201
