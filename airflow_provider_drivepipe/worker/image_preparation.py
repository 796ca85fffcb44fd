"""The image-preparation UDF: one row per image in, the same row with the image's features out.

Runs in DPE workers: standard library, pandas, numpy and Pillow only.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import pathlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import IMAGE_COLUMNS, STATUS_COLUMNS, Reason, Status
from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError, run_in_child
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.image_reading import read_image, refusal, why_no_answer
from airflow_provider_drivepipe.worker.images import (
    FILTERS,
    MAX_PIXELS,
    ImageError,
    TargetSize,
    decode,
    encode_jpeg,
    resize,
)
from airflow_provider_drivepipe.worker.output_folder import OutputFolder
from airflow_provider_drivepipe.worker.paths import (
    check_output_prefix,
    key_below_root,
    output_url,
)
from airflow_provider_drivepipe.worker.phash import perceptual_hash
from airflow_provider_drivepipe.worker.rows import OK_CELLS, dtypes_of, failed_cells
from airflow_provider_drivepipe.worker.serving_child import ServingChild

INLINE_NAME = "drivepipe_image"
"""Column with the prepared image itself, a JPEG in Base64, when it is passed on instead of written."""
STAGE = "image_preparation"

_CLEANUP_SEC = 30.0
_NAME_HASH_DIGITS = 32
_NAME_STEM_LENGTH = 64
_NAME_ROOM = _NAME_STEM_LENGTH + _NAME_HASH_DIGITS + len("/_.jpg")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class ImageJob:
    """What one call of :func:`prepare_images` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; prepared images go to
    ``<oss_root>/<output_prefix>/``, or nowhere when ``output_prefix`` is None. ``lineage`` are the input
    columns that travel through. ``timeout_sec`` is the deadline per image. With ``inline`` and without a
    prefix, the prepared image is the column ``INLINE_NAME``.
    """

    oss_root: str
    mount_path: str
    output_prefix: str | None
    size: TargetSize
    resize_filter: str
    jpeg_quality: int
    max_pixels: int
    max_bytes: int
    timeout_sec: int
    lineage: tuple[str, ...]
    inline: bool = False

    def check(self) -> None:
        """Raise ValueError for a job that no image can fulfil."""
        sides = (self.size.longest_side, *(self.size.exact or ()))
        problems = [
            (self.size.longest_side and self.size.exact, "both a longest side and an exact size are given"),
            (any(side is not None and side < 1 for side in sides), "sizes are at least 1 pixel"),
            (self.resize_filter not in FILTERS, f"the resize filter is one of {', '.join(FILTERS)}"),
            (not 1 <= self.jpeg_quality <= 100, "the JPEG quality is 1 to 100"),
            (not 1 <= self.max_pixels <= MAX_PIXELS, f"the pixel limit is 1 to {MAX_PIXELS}"),
            (self.max_bytes < 1 or self.timeout_sec < 1, "byte limit and deadline are at least 1"),
        ]
        said = [message for wrong, message in problems if wrong]
        if self.output_prefix is not None:
            try:
                check_output_prefix(self.output_prefix, self.oss_root, _NAME_ROOM)
            except ValueError as error:
                said.append(str(error))
        if said:
            raise ValueError("images cannot be prepared so: " + "; ".join(said))


def prepare_images(images: Any, job: ImageJob) -> Any:
    """Return ``images`` (a pandas DataFrame with ``image_url``), row by row, with features and status.

    An image that fails keeps its row, with its reason. Raises ValueError for a job that no image can fulfil,
    KeyError for an input without one of the lineage columns.
    """
    import pandas as pd

    job.check()
    records = images[[n for n in ("image_url", "attempt", "fingerprint") if n in images]].to_dict("records")
    # Other tries may be preparing the same image: unfinished files have names of their own.
    token, parent = secrets.token_hex(4), os.getpid()
    sources: list[_Source | _Refused] = [_source(record["image_url"], job) for record in records]

    def work(number: int) -> dict[str, Any]:
        source = sources[number]
        assert isinstance(source, _Source)
        return _answer(source, _unfinished(source, token, number), job, parent)

    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    with ServingChild(work, job.timeout_sec) as child:
        for number, (record, source) in enumerate(zip(records, sources, strict=True)):
            answer: dict[str, Any]
            if isinstance(source, _Refused):
                answer = {"reason": source.reason, "message": source.message}
            else:
                answer = _ask(child, number, source, _unfinished(source, token, number), job)
            rows.append({**_row(answer, job), **_tried(record)})
    failed = sum(row["status"] == Status.FAILED for row in rows)
    seconds = time.monotonic() - started
    print(f"{len(rows)} images, {failed} failed, {seconds:.1f} s", flush=True)  # noqa: T201
    dtypes = _own_dtypes(job.inline)
    own = pd.DataFrame(rows, columns=list(dtypes), dtype=object).astype(dtypes)
    # Taken, not rebuilt, so that lineage keeps its types: an integer column with NULLs stays one.
    lineage = images[list(job.lineage)].reset_index(drop=True)
    return pd.concat([lineage, own], axis=1)


def image_dtypes(lineage_dtypes: dict[str, Any], inline: bool = False) -> dict[str, Any]:
    """Return the dtype of every output column; integers are nullable, so NULL stays NULL."""
    return {**lineage_dtypes, **_own_dtypes(inline)}


def prepared_name(key: str) -> str:
    """Return the file name of the prepared image of an object.

    The key's hash tells images of one basename apart, and keys that differ in Unicode form only; the readable
    start holds nothing that a path, a URL or a file system could take for something else.
    """
    stem = _NOT_IN_NAMES.sub("_", pathlib.PurePosixPath(key).stem)[:_NAME_STEM_LENGTH]
    return f"{stem}_{hashlib.sha256(key.encode()).hexdigest()[:_NAME_HASH_DIGITS]}.jpg"


@dataclass(frozen=True)
class _Source:
    """An image below the root, and the name that it gets when it is prepared."""

    url: str
    key: str
    name: str


@dataclass(frozen=True)
class _Refused:
    reason: str
    message: str


def _source(url: Any, job: ImageJob) -> _Source | _Refused:
    try:
        key = key_below_root(url, job.oss_root, "image_url")
    except VideoError as error:
        return _Refused(error.reason, str(error))
    return _Source(url, key, prepared_name(key))


def _unfinished(source: _Source, token: str, number: int) -> str:
    return f".{source.name}.{token}-{number}.tmp"


def _own_dtypes(inline: bool) -> dict[str, str]:
    image = {INLINE_NAME: "object"} if inline else {}
    return {**dtypes_of(IMAGE_COLUMNS), **image, **dtypes_of(STATUS_COLUMNS)}


def _row(answer: dict[str, Any], job: ImageJob) -> dict[str, Any]:
    """Return a row's own columns and what became of it."""
    if "reason" not in answer:
        return {**answer, **OK_CELLS}
    message = " ".join(answer["message"].replace(job.mount_path, "").split())
    return failed_cells(STAGE, answer["reason"], message.encode(errors="replace").decode())


def _tried(record: dict[str, Any]) -> dict[str, Any]:
    """Return the number of this try, 1 where the input does not say, and the fingerprint."""
    fingerprint = record.get("fingerprint")
    try:
        attempt = max(1, int(record.get("attempt", 1)))
    except (TypeError, ValueError, OverflowError):
        attempt = 1
    return {"attempt": attempt, "fingerprint": fingerprint if isinstance(fingerprint, str) else None}


def _ask(child: ServingChild, number: int, source: _Source, unfinished: str, job: ImageJob) -> dict[str, Any]:
    """Prepare in the child: a decoder that hangs or crashes takes no other image with it."""
    try:
        answer: dict[str, Any] = child.ask(number)
    except (ChildTimeoutError, ChildDiedError) as error:
        _clean_up(source, unfinished, job)
        return why_no_answer(error, job.timeout_sec)
    except OSError as error:
        return why_no_answer(error, job.timeout_sec)
    return answer


def _answer(source: _Source, unfinished: str, job: ImageJob, parent: int) -> dict[str, Any]:
    """Prepare one image; return its own columns or the reason, as JSON can carry them."""
    try:
        return _prepare(source, unfinished, job, parent)
    except Exception as error:  # noqa: BLE001  (one broken image must not fail the others of its chunk)
        answer = refusal(error)
    # That leftovers cannot be removed is less worth knowing than why there are any.
    with contextlib.suppress(OSError, VideoError):
        _remove(source, unfinished, job)
    return answer


def _prepare(source: _Source, unfinished: str, job: ImageJob, parent: int) -> dict[str, Any]:
    data = read_image(job.mount_path, source.key, job.max_bytes)
    image = decode(data, job.max_pixels)
    width, height = image.pixels.size
    features = {
        "width": width,
        "height": height,
        "format": image.format,
        "mode": image.mode,
        "size_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "phash": perceptual_hash(image.pixels),
        "prepared_url": source.url,
    }
    if job.output_prefix is None and not job.inline:
        return features
    pixels = resize(image.pixels, job.size.of(width, height), job.resize_filter)
    content = encode_jpeg(pixels, job.jpeg_quality)
    if job.output_prefix is None:
        return {**features, INLINE_NAME: base64.b64encode(content).decode()}
    if os.getppid() != parent:
        # Nobody waits any more; another try may be writing this image.
        os._exit(1)
    try:
        with OutputFolder(pathlib.Path(job.mount_path), job.output_prefix.split("/"), create=True) as folder:
            folder.write(source.name, unfinished, content)
    except OSError as error:
        raise ImageError(Reason.WRITE_ERROR, f"the image cannot be written: {error.strerror}") from error
    return {**features, "prepared_url": output_url(job.oss_root, job.output_prefix, source.name)}


def _remove(source: _Source, unfinished: str, job: ImageJob) -> None:
    """Remove what an image that failed has left, this time or earlier."""
    if job.output_prefix is None:
        return
    with (
        contextlib.suppress(FileNotFoundError),
        OutputFolder(pathlib.Path(job.mount_path), job.output_prefix.split("/"), create=False) as folder,
    ):
        for name in (unfinished, source.name):
            folder.remove(name)


def _clean_up(source: _Source, unfinished: str, job: ImageJob) -> None:
    """Remove what a child that was killed has left; in a child too, for the mount itself may hang."""

    def remove() -> str:
        try:
            _remove(source, unfinished, job)
        except (VideoError, OSError) as error:
            return type(error).__name__
        return ""

    try:
        problem = run_in_child(remove, _CLEANUP_SEC)
    except (ChildTimeoutError, ChildDiedError, OSError) as error:
        problem = type(error).__name__
    if problem:
        print(f"{source.name}: an older image could not be removed: {problem}", flush=True)  # noqa: T201
