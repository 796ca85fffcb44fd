"""The frame-extraction UDF: one row per video in, one row per frame out. Runs in DPE workers.

Imports the standard library, pandas, numpy, PyAV and Pillow only.
"""

from __future__ import annotations

import contextlib
import itertools
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
from airflow_provider_drivepipe.worker.serving_child import ServingChild, as_answered
from airflow_provider_drivepipe.worker.timeline import Sampling
from airflow_provider_drivepipe.worker.video import Sample, decode_samples, load_decoder

OWN_NAMES = tuple(column.name for column in FRAME_COLUMNS)
STAGE = "frame_extraction"

_DTYPES = dtypes_of((*FRAME_COLUMNS, *FRAME_QUALITY_COLUMNS, DECODE_NOTE, *STATUS_COLUMNS))
_CLEANUP_SEC = 30.0
_VIDEO_ID_BYTES = len("/0123456789abcdef")
_SHORTEST_NAME_BYTES = len("/v_0000.webp")


_Outcome = list[dict[str, Any]] | VideoError
"""The frames' own columns, or why there are none."""


@dataclass(frozen=True)
class FrameJob:
    """What one call of :func:`extract_frames` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; pictures go below its ``output_prefix``.
    ``lineage`` are the input columns that travel through. ``timeout_sec`` is the deadline per video.
    With ``quality`` rows hold the frames' measures, and frames that a rule leaves out are ``filtered``; their
    pictures stay, so that other thresholds need no video again. Frames with sides above ``longest_side``
    pixels are made smaller. With ``allow_partial`` a video that was cut off gives the frames that are whole,
    and ``decode_note`` says what is missing. Up to ``cpu`` cores decode, videos side by side, or within one.
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
    cpu: int = 1

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
    records = videos.to_dict("records")
    outcomes: dict[int, _Outcome] = {}
    identities: dict[int, str] = {}
    for number, video in enumerate(records):
        try:
            identities[number] = _identity(video.get("video_path"), job)
        except VideoError as error:
            outcomes[number] = error
            # Only a path that was accepted is fit to print.
            _print_progress(f"row {number}", error, 0.0)
    with contextlib.ExitStack() as opened:
        count = max(1, min(job.cpu, len(identities)))
        children = [opened.enter_context(_decoder_process(records, job, count)) for _ in range(count)]
        for number, child in as_answered(children, identities):
            outcomes[number] = _finished(child, identities[number], job)
            seconds = time.monotonic() - child.began
            _print_progress(records[number]["video_path"], outcomes[number], seconds)
    made = [
        _rows_of_video(video, identities.get(number), outcomes[number], job)
        for number, video in enumerate(records)
    ]
    rows = list(itertools.chain.from_iterable(made))
    sources = [number for number, own in enumerate(made) for _ in own]
    names = list(job.own_names())
    own = pd.DataFrame(rows, columns=[*names, *STATUS_NAMES], dtype=object)
    own = own.astype({name: _DTYPES[name] for name in own.columns})
    # Taken, not rebuilt, so that lineage keeps its types: an integer column with NULLs stays one.
    lineage = videos[list(job.lineage)].iloc[sources].reset_index(drop=True)
    return pd.concat([own[names], lineage, own[list(STATUS_NAMES)]], axis=1)


def _print_progress(name: str, outcome: _Outcome, seconds: float) -> None:
    said = outcome.reason if isinstance(outcome, VideoError) else f"{len(outcome)} frames"
    print(f"{name}: {said}, {seconds:.1f} s", flush=True)  # noqa: T201


def _decoder_process(videos: list[dict[str, Any]], job: FrameJob, count: int) -> ServingChild:
    """Return one of ``count`` processes that answer for a video by its number.

    It is replaced when it hangs or crashes. Cores that are left over decode within its video.
    """
    parent = os.getpid()
    decoders = max(1, job.cpu // count)

    def answer(number: int) -> dict[str, Any]:
        path = videos[number]["video_path"]
        return _answer(key_below_root(path, job.oss_root), _identity(path, job), job, parent, decoders)

    return ServingChild(answer, job.timeout_sec)


def _identity(path: Any, job: FrameJob) -> str:
    """Return the video's id; raise VideoError for a path that leads elsewhere."""
    key_below_root(path, job.oss_root)
    return video_id(object_key(path, job.oss_root))


def _rows_of_video(
    video: dict[str, Any], identity: str | None, outcome: _Outcome, job: FrameJob
) -> list[dict[str, Any]]:
    base: dict[str, Any] = {
        "video_path": _text(video.get("video_path")),
        "video_id": identity,
        "attempt": _attempt(video.get("attempt")),
        "fingerprint": _text(video.get("fingerprint")),
    }
    if isinstance(outcome, VideoError):
        failed = failed_cells(STAGE, outcome.reason, _message(outcome, job))
        return [{**base, "frame_idx": -1, **failed}]
    return [{**base, **OK_CELLS, **sample} for sample in outcome]


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


def _finished(child: ServingChild, video: str, job: FrameJob) -> _Outcome:
    """Return what the child has made of a video; of one that failed, no picture is left.

    A child process: a decoder that hangs or crashes takes nothing else with it.
    """
    try:
        answer = child.finish()
    except ChildTimeoutError:
        _clean_up(video, job)
        return VideoError(Reason.TIMEOUT, f"not done within {job.timeout_sec} seconds")
    except ChildDiedError as error:
        _clean_up(video, job)
        return VideoError(Reason.DECODE_ERROR, f"the decoder process {error}")
    except OSError as error:
        return VideoError(Reason.DECODE_ERROR, f"no decoder process can be started: {error.strerror}")
    if "reason" in answer:
        return VideoError(answer["reason"], answer["message"])
    samples: list[dict[str, Any]] = answer["samples"]
    return samples


def _answer(key: str, video: str, job: FrameJob, parent: int, decoders: int) -> dict[str, Any]:
    """Extract and return the samples or the reason, as JSON can carry them."""
    try:
        return {"samples": _write_frames(key, video, job, parent, decoders)}
    except VideoError as error:
        return {"reason": error.reason, "message": str(error)}
    except MemoryError:
        return {"reason": Reason.DECODE_ERROR, "message": "out of memory while decoding"}
    except OSError as error:
        return {"reason": Reason.WRITE_ERROR, "message": f"frames cannot be written: {error.strerror}"}
    except Exception as error:  # noqa: BLE001  (one broken video must not fail the others of its chunk)
        return {"reason": Reason.DECODE_ERROR, "message": f"decoding failed: {type(error).__name__}"}


def _write_frames(key: str, video: str, job: FrameJob, parent: int, decoders: int) -> list[dict[str, Any]]:
    mount = pathlib.Path(job.mount_path)
    source = inside(mount, *key.split("/"))
    folder = FrameFolder(mount, (*job.output_prefix.split("/"), video))
    notes: list[str] = []

    def write(sample: Sample) -> tuple[dict[str, Any], Look | None]:
        if os.getppid() != parent:
            # Nobody waits any more; another try may be writing to this folder.
            os._exit(1)
        stem = image_id(key, sample.index)
        name = stem + EXTENSIONS[job.image_format]
        folder.write(sample.index, name, sample.pixels, job.image_format, job.jpeg_quality)
        row = {
            "frame_idx": sample.index,
            "frame_time_ms": sample.time_ms,
            "image_id": stem,
            "image_url": output_url(job.oss_root, job.output_prefix, video, name),
            "width": sample.pixels.width,
            "height": sample.pixels.height,
        }
        return row, None if job.quality is None else measure(sample.image)

    try:
        written = list(
            decode_samples(
                str(source),
                job.sampling(),
                write,
                longest_side=job.longest_side,
                note_cut=notes.append if job.allow_partial else None,
                decoders=decoders,
            )
        )
        folder.remove_others()
    except BaseException:
        # That leftovers cannot be removed is less worth knowing than why there are any.
        with contextlib.suppress(OSError, VideoError):
            folder.remove_all()
        raise
    written.sort(key=lambda made: made[0]["frame_idx"])
    noted = {DECODE_NOTE.name: "; ".join(notes)} if notes else {}
    rows = [{**row, **noted} for row, _ in written]
    if job.quality is None:
        return rows
    columns = judged([look for _, look in written], job.quality, STAGE)
    return [{**row, **own} for row, own in zip(rows, columns, strict=True)]


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
