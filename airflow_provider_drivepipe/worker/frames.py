"""The frame-extraction UDF: one row per video in, one row per frame out. Runs in DPE workers.

Imports the standard library, pandas, PyAV and Pillow only; literals that also stand in ``contracts.py``,
which workers do not have, are kept equal by a test.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import select
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from airflow_provider_drivepipe.worker.video import Sample, VideoError, read_samples

OWN_NAMES = (
    "video_path",
    "video_id",
    "frame_idx",
    "frame_time_ms",
    "image_id",
    "image_url",
    "width",
    "height",
)
STATUS_NAMES = ("status", "error_stage", "error_type", "error_msg", "attempt", "fingerprint")
STAGE = "frame_extraction"
MAX_ERROR_MESSAGE = 512


@dataclass(frozen=True)
class FrameJob:
    """What one call of :func:`extract_frames` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; JPEGs go to ``<oss_root>/<output_prefix>/``.
    ``lineage`` are the input columns that travel through. ``timeout_sec`` is the deadline per video.
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


def extract_frames(videos: Any, job: FrameJob) -> Any:
    """Return the frame rows of ``videos`` (a pandas DataFrame); every video gives at least one row."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for video in videos.to_dict("records"):
        started = time.monotonic()
        made = _rows_of_video(video, job)
        rows += made
        outcome = made[0]["error_type"] or f"{len(made)} frames"
        print(f"{video.get('video_path')}: {outcome}, {time.monotonic() - started:.1f} s")  # noqa: T201
    names = [*OWN_NAMES, *job.lineage, *STATUS_NAMES]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype({name: dtype for name, dtype in _own_dtypes().items() if dtype != "object"})


def frame_dtypes(lineage_dtypes: dict[str, Any]) -> dict[str, Any]:
    """Return the dtype of every output column; integers are nullable, so NULL stays NULL."""
    own = _own_dtypes()
    return {
        **{name: own[name] for name in OWN_NAMES},
        **lineage_dtypes,
        **{name: own[name] for name in STATUS_NAMES},
    }


def _own_dtypes() -> dict[str, str]:
    numbers = {"frame_idx", "frame_time_ms", "width", "height", "attempt"}
    return {name: "Int64" if name in numbers else "object" for name in (*OWN_NAMES, *STATUS_NAMES)}


def _rows_of_video(video: dict[str, Any], job: FrameJob) -> list[dict[str, Any]]:
    path = video.get("video_path")
    path = path if isinstance(path, str) else None
    base = {
        "video_path": path,
        "video_id": None,
        **{name: _none(video.get(name)) for name in job.lineage},
        "attempt": int(video.get("attempt") or 1),
        "fingerprint": video.get("fingerprint"),
    }
    try:
        key = relative_key(path, job.oss_root)
        base["video_id"] = video_id_of(path or "", job.oss_root)
        samples = _extract_within_deadline(key, base["video_id"], job)
    except VideoError as error:
        failed = dict.fromkeys(("frame_time_ms", "image_id", "image_url", "width", "height"))
        return [
            {
                **base,
                **failed,
                "frame_idx": -1,
                "status": "failed",
                "error_stage": STAGE,
                "error_type": error.reason,
                "error_msg": " ".join(str(error).replace(job.mount_path, "").split())[:MAX_ERROR_MESSAGE],
            }
        ]
    ok = {"status": "ok", "error_stage": "", "error_type": "", "error_msg": ""}
    return [{**base, **sample, **ok} for sample in samples]


def relative_key(video_path: str | None, oss_root: str) -> str:
    """Return the key below ``oss_root``; raise VideoError for a path that is not, or that climbs out."""
    if not video_path or not video_path.startswith(oss_root.rstrip("/") + "/"):
        raise VideoError("path_outside_root", "video_path is not below the declared OSS root")
    key = video_path[len(oss_root.rstrip("/")) + 1 :]
    decoded = unquote(unquote(key))
    for text in (key, decoded):
        segments = text.replace("\\", "/").split("/")
        if any(part in ("", ".", "..") for part in segments) or any(ord(c) < 32 for c in text):
            raise VideoError(
                "path_traversal", "video_path has empty, '.' or '..' segments, or control characters"
            )
    return key


def video_id_of(video_path: str, oss_root: str) -> str:
    """Return the first 16 hex digits of SHA-256 over the bucket-relative key."""
    bucket_root = "/".join(oss_root.split("/")[:4])
    return hashlib.sha256(video_path[len(bucket_root) + 1 :].encode()).hexdigest()[:16]


def _extract_within_deadline(key: str, video_id: str, job: FrameJob) -> list[dict[str, Any]]:
    """Run the extraction in a child process: a decoder that hangs or crashes takes nothing else with it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _child_main(writer, key, video_id, job)
    os.close(writer)
    try:
        answer = _read_until(reader, time.monotonic() + job.timeout_sec)
        if answer is None:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(reader)
        _, wait_status = os.waitpid(child, 0)
    if answer is None:
        raise VideoError("timeout", f"not done within {job.timeout_sec} seconds")
    if not answer:
        code = os.waitstatus_to_exitcode(wait_status)
        raise VideoError("decode_error", f"the decoder process ended without an answer (exit code {code})")
    result: dict[str, Any] = json.loads(answer)
    if "reason" in result:
        raise VideoError(result["reason"], result["message"])
    samples: list[dict[str, Any]] = result["samples"]
    return samples


def _read_until(descriptor: int, deadline: float) -> bytes | None:
    """Read to the end of the pipe; None when the deadline passes first."""
    chunks: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return None
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)


def _child_main(writer: int, key: str, video_id: str, job: FrameJob) -> None:
    """Extract in the child and answer through the pipe; never returns."""
    try:
        try:
            answer: dict[str, Any] = {"samples": _extract(key, video_id, job)}
        except VideoError as error:
            answer = {"reason": error.reason, "message": str(error)}
        except OSError as error:
            answer = {"reason": "write_error", "message": f"a frame could not be written: {error.strerror}"}
        except MemoryError:
            answer = {"reason": "decode_error", "message": "out of memory while decoding"}
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(json.dumps(answer).encode())
        sys.stdout.flush()
        os._exit(0)
    finally:
        os._exit(1)


def _extract(key: str, video_id: str, job: FrameJob) -> list[dict[str, Any]]:
    mount = pathlib.Path(job.mount_path)
    source = mount / key
    real_root = mount.resolve()
    if real_root not in source.resolve().parents:
        raise VideoError("path_traversal", "the object leads outside the declared OSS root")
    stem = pathlib.PurePosixPath(key).stem
    folder = mount / job.output_prefix / video_id
    if real_root not in folder.resolve().parents:
        raise VideoError("path_traversal", "the output folder leads outside the declared OSS root")
    samples: list[dict[str, Any]] = []
    written: set[str] = set()

    def write(sample: Sample) -> None:
        image_id = f"{stem}_{sample.index:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{image_id}.jpg"
        unfinished = folder / f".{sample.index}.tmp"
        sample.image.save(unfinished, "JPEG", quality=job.jpeg_quality)
        unfinished.replace(folder / name)
        written.add(name)
        samples.append(
            {
                "frame_idx": sample.index,
                "frame_time_ms": sample.time_ms,
                "image_id": image_id,
                "image_url": f"{job.oss_root.rstrip('/')}/{job.output_prefix}/{video_id}/{name}",
                "width": sample.image.width,
                "height": sample.image.height,
            }
        )

    try:
        read_samples(str(source), job.fps, job.sample_count, job.sampling_rule, write)
    except VideoError:
        written.clear()
        raise
    finally:
        if folder.is_dir():
            for leftover in folder.iterdir():
                if leftover.name not in written:
                    leftover.unlink()
    return samples


def _none(value: Any) -> Any:
    """pandas hands NULL over as NaN, NaT or NA; a row holds None."""
    return None if value is None or value != value or type(value).__name__ == "NAType" else value
