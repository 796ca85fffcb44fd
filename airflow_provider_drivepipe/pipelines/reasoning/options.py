"""What the stages of this family need to know, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """A step of the annotation, in the order in which steps run; the number is that of the original."""

    VIDEO_FILTER = "0"
    VIDEO_CAPTIONS = "1a"
    CHUNK_CAPTIONS = "1b"
    HIGHLIGHTS = "1c"
    DESCRIPTIONS = "2"
    QA_ITEMS = "3"
    QA_EXPORT = "4"


class Mode(StrEnum):
    """Whether videos show something out of the ordinary; ``AUTO`` lets the filter say so of each."""

    AUTO = "auto"
    ANOMALY = "anomaly"
    NORMAL = "normal"


class QaType(StrEnum):
    """A kind of question."""

    MCQ = "mcq"
    BCQ = "bcq"
    OPEN_QA = "open_qa"
    CAUSAL_LINKAGE = "causal_linkage"
    TEMPORAL_LOCALIZATION = "temporal_localization"
    TEMPORAL_EVENT_DESC = "temporal_event_desc"
    SCENE_DESCRIPTION = "scene_description"
    EVENT_SUMMARY = "event_summary"


class VideoAs(StrEnum):
    """How models see videos.

    ``VIDEO``: as a part of the message, by its URL. ``FRAMES``: as a sheet of frames with their times.
    ``AUTO``: whole videos as frames, chunks and highlights as video.
    """

    AUTO = "auto"
    VIDEO = "video"
    FRAMES = "frames"


@dataclass(frozen=True)
class SheetOptions:
    """What a sheet of frames shows.

    :param max_frames: most frames on a sheet.
    :param sheet_fps: frames per second that a sheet shows, unless there would be more than ``max_frames``.
    :param max_pixels: most pixels of a sheet: what the model sees without scaling it down.
    """

    max_frames: int = 16
    sheet_fps: float = 2.0
    max_pixels: int = 1280 * 28 * 28


@dataclass(frozen=True)
class ChunkOptions:
    """How videos are cut into chunks: the shortest length that gives no more than ``max_chunks``."""

    lengths_sec: tuple[int, ...] = (5, 10, 15, 20, 30)
    max_chunks: int = 10


@dataclass(frozen=True)
class HighlightOptions:
    """What is shown around a critical moment, in seconds."""

    before_sec: float = 3.0
    after_sec: float = 3.0
