"""What the stages of this family need to know, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SamplingRule(StrEnum):
    """Which frame stands for a sample time.

    ``AT_TIME``: the frame on screen at the time (largest presentation time not after it).
    ``NEAREST``: what ``ffmpeg -vf fps=`` picks, the last frame before the middle of the sample's interval.
    ``KEYFRAMES``: key frames, which cost least: the first one in each interval that has any.
    """

    AT_TIME = "at_time"
    NEAREST = "nearest"
    KEYFRAMES = "keyframes"


class FrameFormat(StrEnum):
    """As what frames are written."""

    JPEG = "jpeg"
    WEBP = "webp"


class Listing(StrEnum):
    """Who lists a bucket: the ``CLIENT``, in Airflow's worker, or the workers of a ``MAXFRAME`` job."""

    CLIENT = "client"
    MAXFRAME = "maxframe"


@dataclass(frozen=True)
class ManifestOptions:
    """Which objects of a bucket are videos."""

    bucket: str
    prefix: str = ""
    video_extensions: tuple[str, ...] = (
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".m4v",
        ".ts",
        ".webm",
        ".h264",
        ".h265",
    )
    """What makes an object a video, in any case."""
    incremental: bool = False
    """Whether a partition has no video that another one has, and says what is new, changed, moved, copied."""
    listing: Listing = Listing.CLIENT
    """Who lists: ``client`` or ``maxframe``, with the same result."""
    workers: int | None = None
    """How many workers share a listing by ``maxframe``; None for 16."""

    def __post_init__(self) -> None:
        Listing(self.listing)


@dataclass(frozen=True)
class FrameOptions:
    """How videos become frames. Exactly one of ``fps`` and ``sample_count`` is set."""

    fps: str | None = "1"
    """Frames per second, an integer, a decimal or a fraction such as ``1/2``."""
    sample_count: int | None = None
    """Frames per video, spread evenly."""
    sampling_rule: SamplingRule = SamplingRule.AT_TIME
    """Which frame stands for a time: ``at_time``, ``nearest`` or ``keyframes``."""
    snap_to_keyframe_ms: int | None = None
    """A key frame at most so many milliseconds from a sample's time stands for it: less to decode."""
    frames_prefix: str = ""
    """Key prefix of the pictures below the OSS root; empty: the output table's name."""
    image_format: FrameFormat = FrameFormat.JPEG
    """``jpeg`` or ``webp``."""
    jpeg_quality: int = 90
    """Of WebP as well, 1 to 100."""
    longest_side: int | None = None
    """Longest side in pixels; the aspect ratio is kept, and smaller frames do not grow."""
    allow_partial: bool = False
    """Whether a video that was cut off gives the frames that are whole; else it fails."""
    timeout_sec: int = 120
    """Deadline per video, in seconds; enforced from outside the decoder."""
    cpu: int = 1
    """Cores per worker."""
    memory_gb: int = 4
    """Memory per worker, in gigabytes."""
    batch_rows: int = 4
    """Videos per ``apply_chunk`` call."""

    def __post_init__(self) -> None:
        if (self.fps is None) == (self.sample_count is None):
            raise ValueError("frames are chosen by fps or by sample_count, by one of them")
        if self.sample_count is not None and self.sampling_rule == SamplingRule.KEYFRAMES:
            raise ValueError("key frames are chosen by fps, at most one per interval, not by sample_count")
        if self.snap_to_keyframe_ms is not None and self.sampling_rule == SamplingRule.KEYFRAMES:
            raise ValueError("the rule keyframes has no sample times that could snap to key frames")


@dataclass(frozen=True)
class OssOptions:
    """Where videos and frames live. ``root`` None means the bucket of the connection's endpoint."""

    bucket: str
    root: str | None = None
    """Full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` that holds inputs and outputs."""
    mount_path: str = "/mnt/drivepipe"

    def __post_init__(self) -> None:
        if not self.bucket and self.root is None:
            raise ValueError("name a bucket, or a root")


class ResizeFilter(StrEnum):
    """How pixels are combined when an image gets another size."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class PreparedImages(StrEnum):
    """What becomes of prepared images.

    ``WRITE_BACK``: they are written to OSS, and models read them there. ``INLINE``: models get them within
    their requests, and nothing is written. ``FEATURES``: only features are taken; models get the original.
    """

    WRITE_BACK = "write_back"
    INLINE = "inline"
    FEATURES = "features"


@dataclass(frozen=True)
class ImageOptions:
    """How images are prepared; ``longest_side`` or ``exact_size`` or neither, which keeps the size."""

    longest_side: int | None = None
    """Longest side in pixels; the aspect ratio is kept, and smaller images do not grow unless ``enlarge``."""
    exact_size: tuple[int, int] | None = None
    """Width and height in pixels, whatever the aspect ratio was."""
    enlarge: bool = False
    """Whether images with sides shorter than ``longest_side`` grow to it."""
    resize_filter: ResizeFilter = ResizeFilter.LANCZOS
    """``nearest``, ``bilinear``, ``bicubic`` or ``lanczos``."""
    jpeg_quality: int = 85
    """1 to 100."""
    write_back: bool = True
    """Write the prepared image to OSS; else only its features are taken, and it stays where it is."""
    inline: bool = False
    """Instead of writing it, pass the prepared image on to the models within their requests."""
    prepared_prefix: str = ""
    """Key prefix of the prepared images below the OSS root; empty: the output table's name."""
    max_pixels: int = 100_000_000
    """Larger images are refused before they are decoded."""
    max_bytes: int = 256 * 1024 * 1024
    """Larger files are refused before they are read."""
    timeout_sec: int = 60
    """Deadline per image, in seconds; enforced from outside the decoder."""
    cpu: int = 1
    """Cores per worker."""
    memory_gb: int = 4
    """Memory per worker, in gigabytes."""
    batch_rows: int = 256
    """Images per ``apply_chunk`` call."""


class FrameFilter(StrEnum):
    """A rule that leaves frames out; equals the reason that it gives."""

    TOO_DARK = "too_dark"
    TOO_BLURRED = "too_blurred"
    FROZEN = "frozen"
    NEAR_DUPLICATE = "near_duplicate"


@dataclass(frozen=True)
class QualityOptions:
    """Which frames are not worth a model call. None switches a rule off; measures are written either way.

    The first rule that refuses a frame gives its reason, in the order of the fields.
    """

    min_brightness: float | None = None
    """Mean luma, 0 to 255, below which a frame is ``too_dark``."""
    min_sharpness: float | None = None
    """Variance of the Laplacian below which a frame is ``too_blurred``."""
    max_frozen_change: float | None = None
    """Mean luma difference to the frame before, 0 to 255, up to which a frame is ``frozen``."""
    near_duplicate_distance: int | None = None
    """Bits, 0 to 64, by which the perceptual hash of a ``near_duplicate`` differs at most from the last
    frame that was kept."""

    def rules(self) -> dict[str, FrameFilter]:
        """Return the rules that are on, by the name of their threshold."""
        return {name: rule for name, rule in FRAME_FILTERS.items() if getattr(self, name) is not None}


FRAME_FILTERS = {
    "min_brightness": FrameFilter.TOO_DARK,
    "min_sharpness": FrameFilter.TOO_BLURRED,
    "max_frozen_change": FrameFilter.FROZEN,
    "near_duplicate_distance": FrameFilter.NEAR_DUPLICATE,
}
"""The threshold of each rule: field of :class:`QualityOptions`, and key of a scenario."""

DEFAULT_QUALITY = QualityOptions(
    min_brightness=10.0, min_sharpness=10.0, max_frozen_change=0.2, near_duplicate_distance=4
)
"""Thresholds of rules that are asked for by name: careful ones, which leave real night and fog in."""


class TimestampUnit(StrEnum):
    """Unit of the numbers in a clip's file of timestamps.

    ``AUTO`` tells the unit of epoch times by their size, and refuses numbers of which it cannot be told.
    """

    AUTO = "auto"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


@dataclass(frozen=True)
class KeyframeOptions:
    """Which images of a clip's directory are its keyframes; all, or by one of ``count`` and ``stride``."""

    count: int | None = None
    """Keyframes per clip, spread evenly, the first and the last image included."""
    stride: int | None = None
    """Every so many-th image, from the first."""
    clip_id_column: str = "clip_id"
    """Holds the clip's identity."""
    clip_dir_column: str = "clip_dir"
    """Holds a full OSS URI below the OSS root, or a path relative to it."""
    start_column: str | None = "start_ms"
    """Start of a time range in milliseconds, included; NULL is open. The default one may be absent."""
    end_column: str | None = "end_ms"
    """Its end, not included; NULL is open. The default one may be absent."""
    image_extensions: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".webp")
    """What an image of a clip ends in, in any case."""
    timestamp_unit: TimestampUnit = TimestampUnit.AUTO
    """Unit of a clip's timestamps: ``auto``, ``s``, ``ms``, ``us`` or ``ns``."""
    max_files: int = 200_000
    """A directory with more entries fails its clip."""
    timeout_sec: int = 120
    """Deadline per clip, in seconds; measuring its keyframes not counted."""
    cpu: int = 1
    """Cores per worker."""
    memory_gb: int = 4
    """Memory per worker, in gigabytes."""
    batch_rows: int = 8
    """Clips per ``apply_chunk`` call."""
    max_pixels: int = ImageOptions.max_pixels
    """Where keyframes are measured, larger ones fail before they are decoded."""
    max_bytes: int = ImageOptions.max_bytes
    """Where keyframes are measured, larger files fail before they are read."""
    image_timeout_sec: int = ImageOptions.timeout_sec
    """Where keyframes are measured, the deadline per image, in seconds."""
