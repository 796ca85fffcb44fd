"""The keyframe-expansion UDF: one row per clip in, one row per keyframe out. Runs in DPE workers.

Imports the standard library and pandas only, numpy and Pillow where keyframes are measured.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import (
    FRAME_QUALITY_COLUMNS,
    KEYFRAME_COLUMNS,
    STATUS_COLUMNS,
    Reason,
)
from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError, run_in_child
from airflow_provider_drivepipe.worker.clip_folder import ClipFolder, choose, clip_key, list_clip
from airflow_provider_drivepipe.worker.clip_times import sidecar_times, times_in_names
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.frame_quality import MEASURE_NAMES
from airflow_provider_drivepipe.worker.keyframe_quality import KeyframeQuality, measured_columns
from airflow_provider_drivepipe.worker.rows import OK_CELLS, STATUS_NAMES, dtypes_of, failed_cells

OWN_NAMES = tuple(column.name for column in KEYFRAME_COLUMNS)
STAGE = "keyframe_expansion"

_DTYPES = dtypes_of((*KEYFRAME_COLUMNS, *FRAME_QUALITY_COLUMNS, *STATUS_COLUMNS))
_MAX_MS = 10**15


@dataclass(frozen=True)
class KeyframeJob:
    """What one call of :func:`expand_clips` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``. The columns name those of the input;
    ``start_column`` and ``end_column`` are None where it has no such column. ``lineage`` are the input
    columns that travel through. ``timeout_sec`` is the deadline per clip, for finding its keyframes. With
    ``quality`` these are opened too: rows hold their measures, and those that a rule leaves out are
    ``filtered``.
    """

    oss_root: str
    mount_path: str
    clip_id_column: str
    clip_dir_column: str
    start_column: str | None
    end_column: str | None
    count: int | None
    stride: int | None
    image_extensions: tuple[str, ...]
    timestamp_unit: str
    max_files: int
    timeout_sec: float
    lineage: tuple[str, ...]
    quality: KeyframeQuality | None = None

    def own_names(self) -> tuple[str, ...]:
        """Return the columns that the stage makes, status columns not counted."""
        return own_names(measured=self.quality is not None)

    def check(self) -> None:
        """Raise ValueError for a choice that makes no sense."""
        if self.count is not None and self.stride is not None:
            raise ValueError("keyframes are chosen by count or by stride, not by both")
        for name, value in (("count", self.count), ("stride", self.stride)):
            if value is not None and value < 1:
                raise ValueError(f"the {name} of keyframes is at least 1, not {value}")


@dataclass(frozen=True)
class _TimeRange:
    start: int | None
    end: int | None

    def holds(self, time_ms: int) -> bool:
        return (self.start is None or self.start <= time_ms) and (self.end is None or time_ms < self.end)


def expand_clips(clips: Any, job: KeyframeJob) -> Any:
    """Return the keyframe rows of ``clips`` (a pandas DataFrame); every clip gives at least one row.

    A clip that fails gives one row with ``frame_idx`` -1 and its reason; a keyframe that cannot be measured
    fails alone. Raises ValueError for a job that no clip can fulfil, KeyError for an input without one of the
    job's columns.
    """
    import pandas as pd

    job.check()
    names = job.own_names()
    columns: dict[str, list[Any]] = {name: [] for name in (*names, *STATUS_NAMES)}
    sources: list[int] = []
    for number, clip in enumerate(clips.to_dict("records")):
        made = _columns_of_clip(clip, number, job)
        sources += [number] * len(made["frame_idx"])
        for name, values in columns.items():
            values += made[name]
    own = pd.DataFrame(columns, dtype=object).astype({name: _DTYPES[name] for name in columns})
    # Taken, not rebuilt, so that lineage keeps its types: an integer column with NULLs stays one.
    lineage = clips[list(job.lineage)].iloc[sources].reset_index(drop=True)
    return pd.concat([own[list(names)], lineage, own[list(STATUS_NAMES)]], axis=1)


def own_names(*, measured: bool) -> tuple[str, ...]:
    """Return the columns that the stage makes; those of the measures where keyframes are measured."""
    return (*OWN_NAMES, *MEASURE_NAMES) if measured else OWN_NAMES


def keyframe_dtypes(lineage_dtypes: dict[str, Any], *, measured: bool = False) -> dict[str, Any]:
    """Return the dtype of every output column; integers are nullable, so NULL stays NULL."""
    return {
        **{name: _DTYPES[name] for name in own_names(measured=measured)},
        **lineage_dtypes,
        **{name: _DTYPES[name] for name in STATUS_NAMES},
    }


def _columns_of_clip(clip: dict[str, Any], number: int, job: KeyframeJob) -> dict[str, list[Any]]:
    """Return the values of each output column but lineage; ``number`` is the clip's place, for the log."""
    started = time.monotonic()
    clip_id, clip_dir = _text(clip[job.clip_id_column]), _text(clip[job.clip_dir_column])
    shown = f"row {number}"
    try:
        if not clip_id:
            raise VideoError(Reason.NO_CLIP_ID, "the clip has no id")
        key = clip_key(clip[job.clip_dir_column], job.oss_root)
        # Only a path that was accepted is fit to print.
        shown = f"{job.oss_root.rstrip('/')}/{key}"
        answer = _expand(key, _time_range(clip, job), job)
        names: list[str] = answer["names"]
        judged = _judged([f"{key}/{name}" for name in names], job)
        own: dict[str, list[Any]] = {
            "keyframe_id": _keyframe_ids(clip_id, clip_dir or "", names),
            "frame_idx": list(range(len(names))),
            "frame_time_ms": answer["times"] or [None] * len(names),
            "image_id": [name.rpartition(".")[0] for name in names],
            "image_url": [f"{shown}/{name}" for name in names],
            **judged,
        }
        outcome = f"{len(names)} of {answer['images']} images"
        outcome += "".join(f", {n} {reason}" for reason, n in _not_ok(judged["error_type"]).items())
        outcome += f"; left out: {answer['left_out']}" if answer["left_out"] else ""
    except VideoError as error:
        failed = failed_cells(STAGE, error.reason, " ".join(str(error).split()))
        own = {
            **{name: [None] for name in job.own_names()},
            "frame_idx": [-1],
            **{name: [cell] for name, cell in failed.items()},
        }
        outcome = error.reason
    print(f"{shown}: {outcome}, {time.monotonic() - started:.1f} s", flush=True)  # noqa: T201
    same = {
        "clip_id": clip_id,
        "clip_dir": clip_dir,
        "attempt": _attempt(clip.get("attempt")),
        "fingerprint": _text(clip.get("fingerprint")),
    }
    return {**own, **{name: [value] * len(own["frame_idx"]) for name, value in same.items()}}


def _judged(keys: Sequence[str], job: KeyframeJob) -> dict[str, list[Any]]:
    """Return the status columns of a clip's keyframes and, where they are measured, their measures."""
    if job.quality is None:
        return {name: [value] * len(keys) for name, value in OK_CELLS.items()}
    found = measured_columns(keys, job.mount_path, job.quality, STAGE)
    return {
        name: [columns.get(name, OK_CELLS.get(name)) for columns in found]
        for name in (*MEASURE_NAMES, *OK_CELLS)
    }


def _not_ok(reasons: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(reason for reason in reasons if reason).items()))


def _keyframe_ids(clip_id: str, clip_dir: str, names: Sequence[str]) -> list[str]:
    """Return stable ids: clips may share a directory, and directories hold files of the same names."""
    clip = hashlib.sha256(json.dumps([clip_id, clip_dir]).encode() + b"\0")
    ids = []
    for name in names:
        digest = clip.copy()
        digest.update(name.encode())
        ids.append(digest.hexdigest()[:16])
    return ids


def _time_range(clip: dict[str, Any], job: KeyframeJob) -> _TimeRange | None:
    """Return the clip's time range, None when it has none; raise VideoError when it makes no sense."""
    start = _whole_number(clip[job.start_column]) if job.start_column else None
    end = _whole_number(clip[job.end_column]) if job.end_column else None
    if start is None and end is None:
        return None
    if start is not None and end is not None and end <= start:
        raise VideoError(Reason.INVALID_TIME_RANGE, "the time range ends before it starts")
    return _TimeRange(start, end)


def _whole_number(value: Any) -> int | None:
    import pandas as pd

    if pd.isna(value):
        return None
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, (bool, str)) or number != value or abs(number) > _MAX_MS:
        raise VideoError(
            Reason.INVALID_TIME_RANGE, "an end of the time range is not a number of milliseconds"
        )
    return number


def _expand(key: str, time_range: _TimeRange | None, job: KeyframeJob) -> dict[str, Any]:
    """Expand in a child process: a directory of a mount that hangs takes nothing else with it.

    Returns the keyframes' file names and times, how many images there are, and what was left out.
    """
    try:
        answer: dict[str, Any] = run_in_child(lambda: _answer(key, time_range, job), job.timeout_sec)
    except ChildTimeoutError as error:
        raise VideoError(Reason.TIMEOUT, f"not done within {job.timeout_sec} seconds") from error
    except ChildDiedError as error:
        raise VideoError(Reason.ACCESS_DENIED, f"the process that read the directory {error}") from error
    except OSError as error:
        raise VideoError(Reason.ACCESS_DENIED, f"no process can be started: {error.strerror}") from error
    if "reason" in answer:
        raise VideoError(answer["reason"], answer["message"])
    return answer


def _answer(key: str, time_range: _TimeRange | None, job: KeyframeJob) -> dict[str, Any]:
    """Return the keyframes or the reason why there are none, as JSON can carry them."""
    try:
        return _keyframes(key, time_range, job)
    except VideoError as error:
        return {"reason": error.reason, "message": str(error)}
    except OSError as error:
        return {"reason": Reason.ACCESS_DENIED, "message": f"the directory cannot be read: {error.strerror}"}


def _keyframes(key: str, time_range: _TimeRange | None, job: KeyframeJob) -> dict[str, Any]:
    mount = pathlib.Path(job.mount_path)
    folder = list_clip(mount, key, job.image_extensions, job.max_files)
    images = [name for name in folder.names if name not in folder.unusable]
    left_out = folder.describe()
    if not images:
        raise VideoError(Reason.NO_FRAMES, f"the directory holds no images ({left_out or 'it is empty'})")
    times = _times(mount.joinpath(*key.split("/")), folder, images, job)
    within = images
    if time_range is not None:
        if not times:
            raise VideoError(
                Reason.NO_TIMESTAMPS, "the clip has a time range, but its images have no timestamps"
            )
        within = [name for name in images if time_range.holds(times[name])]
        if not within:
            raise VideoError(Reason.NO_FRAMES, f"none of {len(images)} images is in the time range")
    chosen = [within[at] for at in choose(len(within), job.count, job.stride)]
    return {
        "names": chosen,
        "times": [times[name] for name in chosen] if times else None,
        "images": len(images),
        "left_out": left_out,
    }


def _times(path: pathlib.Path, folder: ClipFolder, images: Sequence[str], job: KeyframeJob) -> dict[str, int]:
    """Return the time of each image in milliseconds; empty where times are unknown."""
    if not folder.sidecars:
        return times_in_names(images)
    times = sidecar_times(path, folder.sidecars, folder.names, job.timestamp_unit)
    missing = sum(name not in times for name in images)
    if missing:
        raise VideoError(
            Reason.INVALID_TIMESTAMPS,
            f"{folder.sidecars[0].lower()}: {missing} of {len(images)} images have no timestamp",
        )
    return times


def _attempt(value: Any) -> int:
    """Return the number of this try; 1 where the input does not say."""
    try:
        return max(1, int(value))
    except (TypeError, ValueError, OverflowError):
        return 1


def _text(value: Any) -> str | None:
    """Return text that a table can hold; half a surrogate pair becomes a question mark."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None
