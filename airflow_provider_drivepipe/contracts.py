"""The data contracts: columns, statuses, reasons, identities and reports that every stage keeps.

Imports nothing of ours, so that operators, workers and the local cloud can all rely on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

MAX_ERROR_MESSAGE = 512
"""Longest ``error_msg``, in characters."""


class Status(StrEnum):
    """What became of a row. The four are never merged."""

    OK = "ok"
    FAILED = "failed"
    FILTERED = "filtered"
    SKIPPED = "skipped"


class Reason(StrEnum):
    """Typed cause of a failure, or of leaving a row out (``error_type``), safe to group by."""

    PATH_OUTSIDE_ROOT = "path_outside_root"
    PATH_TRAVERSAL = "path_traversal"
    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    EMPTY_FILE = "empty_file"
    DUPLICATE = "duplicate"
    """A video of the same content is worked on under another path."""
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    TRUNCATED = "truncated"
    DECODE_ERROR = "decode_error"
    INVALID_DURATION = "invalid_duration"
    CLOCK_RESTARTS = "clock_restarts"
    """The timestamps start again: several recordings in one file."""
    NO_FRAMES = "no_frames"
    TIMEOUT = "timeout"
    WRITE_ERROR = "write_error"
    IMAGE_DECODE_ERROR = "image_decode_error"
    IMAGE_TOO_LARGE = "image_too_large"
    TOO_DARK = "too_dark"
    TOO_BLURRED = "too_blurred"
    FROZEN = "frozen"
    NEAR_DUPLICATE = "near_duplicate"
    MODEL_ERROR = "model_error"
    RATE_LIMITED = "rate_limited"
    CONTENT_BLOCKED = "content_blocked"
    REFUSAL = "refusal"
    EMPTY_RESPONSE = "empty_response"
    INVALID_JSON = "invalid_json"
    SCHEMA_VIOLATION = "schema_violation"
    DIMENSION_MISMATCH = "dimension_mismatch"
    NO_LABEL = "no_label"
    EMPTY_INPUT = "empty_input"
    LIMIT = "limit"
    BUDGET = "budget"
    NO_CLIP_ID = "no_clip_id"
    INVALID_TIMESTAMPS = "invalid_timestamps"
    NO_TIMESTAMPS = "no_timestamps"
    INVALID_TIME_RANGE = "invalid_time_range"
    TOO_MANY_FILES = "too_many_files"
    TOO_LONG = "too_long"
    OUT_OF_DOMAIN = "out_of_domain"
    NOT_VISIBLE = "not_visible"
    ANSWER_OUTSIDE_OPTIONS = "answer_outside_options"
    TIME_OUTSIDE_VIDEO = "time_outside_video"
    NAMES_OPTION_LETTER = "names_option_letter"
    INVALID_QUESTION = "invalid_question"
    """A question without text, or with options, an answer or evidence that cannot be."""
    MODEL_MISMATCH = "model_mismatch"
    """The frames were embedded by another model than the queries would be."""
    NO_QUERY = "no_query"
    """An arm has nothing to look for frames with."""
    NO_EVIDENCE = "no_evidence"
    """No frame shows where the answer is annotated, or nothing is annotated."""
    AMBIGUOUS_ANSWER = "ambiguous_answer"
    """The model's answer names several options."""


class Change(StrEnum):
    """How a listed video stands to what the manifest table held before."""

    NEW = "new"
    CHANGED = "changed"
    """Other content under a path that was there."""
    MOVED = "moved"
    """The content was there, under a path that is gone."""
    COPIED = "copied"
    """The content is there under another path too."""
    UNCHANGED = "unchanged"
    KNOWN = "known"
    """As it is in another partition: it is not in this one."""
    DELETED = "deleted"
    """Was in the partition; it has no row any more."""


class Verdict(StrEnum):
    """Outcome of a stage as a whole."""

    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    EMPTY_INPUT = "empty_input"


@dataclass(frozen=True)
class Column:
    """A table column: lower-case name, MaxCompute type, one line on what it holds."""

    name: str
    type: str
    comment: str = ""


STATUS_COLUMNS: tuple[Column, ...] = (
    Column("status", "string", "ok, failed, filtered or skipped"),
    Column("error_stage", "string", "empty when ok, else the stage that failed the row"),
    Column("error_type", "string", "empty when ok, else a typed reason"),
    Column("error_msg", "string", "empty when ok, else at most 512 characters"),
    Column("attempt", "bigint", "1 for the first try of this row in this partition"),
    Column(
        "fingerprint", "string", "what decides the row: a hash for each stage and one for the input, by name"
    ),
)

MANIFEST_COLUMNS: tuple[Column, ...] = (
    Column("video_path", "string", "full OSS URI of the video"),
    Column("size_bytes", "bigint", "object size in bytes"),
    Column("last_modified", "string", "UTC, YYYY-MM-DD HH:MM:SS"),
    Column("etag", "string", "entity tag of the object"),
    Column("crc64", "string", "CRC-64/XZ of the object, empty where the listing gives none"),
    Column("storage_class", "string", "OSS storage class"),
)

CHANGE_COLUMNS: tuple[Column, ...] = (
    Column("change", "string", "new, changed, moved, copied or unchanged, when it was listed"),
    Column("same_as", "string", "path that the content of a moved or copied video had first, else empty"),
)

FRAME_COLUMNS: tuple[Column, ...] = (
    Column("video_path", "string", "full OSS URI of the video"),
    Column("video_id", "string", "first 16 hex digits of SHA-256 over the object key"),
    Column("frame_idx", "bigint", "0-based index of the sample within the video, -1 for a failed video"),
    Column("frame_time_ms", "bigint", "presentation time on the video's own clock, in milliseconds"),
    Column("image_id", "string", "<video basename>_<frame_idx>, for people"),
    Column("image_url", "string", "full OSS URI of the JPEG"),
    Column("width", "bigint", "frame width in pixels"),
    Column("height", "bigint", "frame height in pixels"),
)

KEYFRAME_COLUMNS: tuple[Column, ...] = (
    Column("clip_id", "string", "identity of the clip, as the input has it"),
    Column("keyframe_id", "string", "16 hex digits over clip and file name, NULL for a failed clip"),
    Column("frame_idx", "bigint", "0-based index of the keyframe among those chosen, -1 for a failed clip"),
    Column("frame_time_ms", "bigint", "time on the clock of the clip's timestamps, NULL where unknown"),
    Column("image_id", "string", "file name without its extension, for people"),
    Column("image_url", "string", "full OSS URI of the image"),
    Column("clip_dir", "string", "directory of the clip, as the input has it"),
)

FRAME_QUALITY_COLUMNS: tuple[Column, ...] = (
    Column("brightness", "double", "mean luma, 0 to 255"),
    Column("sharpness", "double", "variance of the Laplacian at a normalised size"),
    Column("frame_change", "double", "mean luma difference to the frame before, NULL for the first frame"),
    Column("phash", "string", "perceptual hash, 16 hex digits"),
)

DECODE_NOTE = Column("decode_note", "string", "what is missing of a video that was cut off, NULL if nothing")
"""Made beside the others where videos that were cut off are taken."""

IMAGE_COLUMNS: tuple[Column, ...] = (
    Column("width", "bigint", "width of the upright image in pixels, before it was resized"),
    Column("height", "bigint", "height of the upright image in pixels, before it was resized"),
    Column("format", "string", "format of the file: JPEG, PNG, WEBP, BMP, TIFF, GIF, MPO"),
    Column("mode", "string", "pixel format of the file: RGB, L, CMYK, P and others"),
    Column("size_bytes", "bigint", "size of the file in bytes"),
    Column("sha256", "string", "SHA-256 of the file, 64 hex digits"),
    Column("phash", "string", "perceptual hash of the upright image, 16 hex digits"),
    Column("prepared_url", "string", "full OSS URI of the prepared image"),
)

_OWNERS = ("video_path", "clip_id", "clip_dir")
IMAGE_KEY = (*_OWNERS, "frame_idx", "image_id", "image_url")


def image_key(names: Collection[str]) -> tuple[str, ...]:
    """Return which columns tell the rows of a table of images apart.

    A row of our own frames or keyframes has its place: the address says too which configuration made it.
    """
    key = tuple(c for c in IMAGE_KEY if c in names)
    placed = {"frame_idx", "fingerprint"} <= set(names) and not set(key).isdisjoint(_OWNERS)
    return tuple(c for c in key if c not in ("image_id", "image_url")) if placed else key


def video_id(object_key: str) -> str:
    """Return the identity of a video: 16 hex digits of SHA-256 over its bucket-relative key (UTF-8)."""
    return hashlib.sha256(object_key.encode()).hexdigest()[:16]


def image_id(object_key: str, frame_idx: int) -> str:
    """Return ``<video basename without extension>_<frame_idx:04d>``; equals the JPEG's file name stem."""
    return f"{PurePosixPath(object_key).stem}_{frame_idx:04d}"


@dataclass(frozen=True)
class OssUri:
    """``oss://<endpoint>/<bucket>/<key>``. The endpoint (``host`` or ``host:port``) is always there.

    MaxFrame's mounts and the AI functions match on the full prefix, so a bare ``oss://bucket/key``
    would silently point to nothing.
    """

    endpoint: str
    bucket: str
    key: str = ""

    @classmethod
    def parse(cls, uri: str) -> OssUri:
        """Parse a full OSS URI; raise ValueError when the scheme, endpoint or bucket is missing."""
        if not uri.startswith("oss://"):
            raise ValueError(f"not an OSS URI: {uri!r}; expected oss://<endpoint>/<bucket>/<key>")
        endpoint, _, rest = uri.removeprefix("oss://").partition("/")
        bucket, _, key = rest.partition("/")
        if not endpoint or not bucket:
            raise ValueError(
                f"OSS URI without endpoint or bucket: {uri!r}; expected oss://<endpoint>/<bucket>/<key>"
            )
        return cls(endpoint, bucket, key)

    def __str__(self) -> str:
        base = f"oss://{self.endpoint}/{self.bucket}"
        return f"{base}/{self.key}" if self.key else base

    def join(self, *parts: str) -> OssUri:
        """Return this URI with further key segments; segments are taken literally."""
        key = "/".join([self.key.rstrip("/"), *(p.strip("/") for p in parts)]).strip("/")
        return OssUri(self.endpoint, self.bucket, key)


@dataclass(frozen=True)
class Tokens:
    """Tokens billed by the model service."""

    input: int = 0
    output: int = 0
    embedding: int = 0


@dataclass(frozen=True)
class Spending:
    """What a run of a task had from the models, and what that came to; None for what is not known.

    :param frames: rows (frames, images) that models were asked about.
    :param video_hours: hours of video that the run's frames stand for.
    :param tokens_per_1000_frames: tokens of all kinds, per 1,000 of these rows.
    :param tokens_per_video_hour: the same per hour of video.
    :param currency: of the scenario's price table.
    :param cost: of all tokens, in ``currency``; None without a price table.
    :param cost_per_1000_frames: the same per 1,000 of these rows.
    :param cost_per_video_hour: the same per hour of video.
    """

    frames: int
    video_hours: float | None = None
    tokens_per_1000_frames: int | None = None
    tokens_per_video_hour: int | None = None
    currency: str | None = None
    cost: float | None = None
    cost_per_1000_frames: float | None = None
    cost_per_video_hour: float | None = None


@dataclass(frozen=True)
class StageCounts:
    """The counts of one stage in its input units: ``rows_in = ok + failed + filtered + skipped``."""

    rows_in: int = 0
    ok: int = 0
    failed: int = 0
    filtered: int = 0
    skipped: int = 0

    def balanced(self) -> bool:
        """Return whether every input row is accounted for."""
        return self.rows_in == self.ok + self.failed + self.filtered + self.skipped


@dataclass(frozen=True)
class StageReport:
    """What a task says of one partition; goes to XCom as JSON (``return_value``).

    ``stages`` holds the counts of every stage that the task ran, each in its own input units; the counts
    at the top are those of the rows of the table (of the objects listed, for a manifest).
    """

    scenario: str
    """Name of the scenario; of a DAG by hand its id, unless the operator names one."""
    stage: str
    """What the task is called in reports."""
    table: str
    """The table that was written."""
    partition: str
    """Its partition, such as ``ds=20261120``."""
    verdict: Verdict
    """``completed``, ``completed_with_failures`` or ``empty_input``."""
    rows_in: int
    """``ok + failed + filtered + skipped``."""
    ok: int
    """Rows with everything that was asked for."""
    failed: int
    """Rows that a stage failed."""
    filtered: int
    """Rows that were left out on purpose."""
    skipped: int
    """Rows that were not tried."""
    carried_over: int
    """Rows that were ok already and were kept as they are."""
    removed: int = 0
    """Rows that left the partition because their input left it."""
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    """By stage and reason, how many failed."""
    stages: dict[str, dict[str, int]] = field(default_factory=dict)
    """By stage, its counts in its own input units."""
    filtered_reasons: dict[str, int] = field(default_factory=dict)
    """How many were left out on purpose, by reason."""
    skipped_reasons: dict[str, int] = field(default_factory=dict)
    """How many were not tried, by reason."""
    changes: dict[str, int] = field(default_factory=dict)
    """Videos of an incremental manifest, by :class:`Change`; empty elsewhere."""
    params: dict[str, Any] = field(default_factory=dict)
    """Params of the run that overruled the scenario."""
    tokens: Tokens = field(default_factory=Tokens)
    """That this run paid: ``input``, ``output``, ``embedding``."""
    normalised: int = 0
    """Values put right in the answers for the rows that the task worked on."""
    prompts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By stage, with what models were asked: name, version, text and hash of the prompt, and the schema."""
    models: dict[str, str] = field(default_factory=dict)
    """What the answers of each stage come from: a model, or what the model catalog says stands in for it."""
    spending: Spending | None = None
    """What this run had from the models, see below; None where no model is called."""
    quality: dict[str, Any] = field(default_factory=dict)
    """What the items of a training set are like: flags by task, and how often each choice is right."""
    seconds: float = 0.0
    """Seconds from the start of the work to the report; 0 where no job was needed."""
    session_id: str | None = None
    """MaxFrame session of the last job, None without a job."""
    logview: str | None = None
    """Its LogView address."""

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable values."""
        return {**asdict(self), "verdict": str(self.verdict)}

    def failure_counts(self) -> dict[str, int]:
        """Return failed rows per stage, with an entry for every stage that this task ran."""
        return {stage: sum(self.failures.get(stage, {}).values()) for stage in self.stages}
