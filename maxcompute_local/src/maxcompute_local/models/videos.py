"""Decodes a few pictures of a video for the built-in models."""

from __future__ import annotations

import io
from dataclasses import dataclass

import av

from maxcompute_local.models.backend import INVALID_VIDEO, ModelError
from maxcompute_local.models.images import Image

_LONGEST_SIDE = 640
_MOST_PICTURES = 40
_SHORTEST_STEP_MS = 250
_MOST_PIXELS = 2_000_000_000
"""Of a video with more pixels than this, all frames taken together, key frames alone are decoded."""


@dataclass(frozen=True)
class Frame:
    """A picture and its time in milliseconds; the first one of a video is at 0."""

    ms: int
    picture: Image


@dataclass(frozen=True)
class Footage:
    """What is looked at of a video: its length in milliseconds, and frames in order, at least one."""

    duration_ms: int
    frames: tuple[Frame, ...]
    start_ms: int = 0
    """Where it begins, for a part of a longer video."""

    def moved(self, start_ms: int) -> Footage:
        """Return it as the part of a longer video, on whose clock it begins at ``start_ms``."""
        frames = tuple(Frame(frame.ms + start_ms, frame.picture) for frame in self.frames)
        return Footage(self.duration_ms, frames, start_ms)


def sample_video(data: bytes) -> Footage:
    """Return up to 40 frames, evenly spread, at most 640 pixels wide and high.

    Raises ModelError (400, InvalidVideo) for what cannot be decoded.
    """
    try:
        footage = _sample(data)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise ModelError(
            400, INVALID_VIDEO, f"not a video that can be decoded ({len(data)} bytes)"
        ) from error
    if not footage.frames:
        raise ModelError(400, INVALID_VIDEO, "the video has no pictures")
    return footage


def _sample(data: bytes) -> Footage:
    frames: list[Frame] = []
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        # Sound may last longer.
        if stream.duration and stream.time_base:
            duration_ms = int(stream.duration * stream.time_base * 1000)
        else:
            duration_ms = (container.duration or 0) // 1000
        step = max(_SHORTEST_STEP_MS, duration_ms // _MOST_PICTURES)
        scale = min(1.0, _LONGEST_SIDE / max(stream.width, stream.height))
        width, height = max(1, round(stream.width * scale)), max(1, round(stream.height * scale))
        if stream.width * stream.height * (stream.average_rate or 25) * duration_ms / 1000 > _MOST_PIXELS:
            stream.codec_context.skip_frame = "NONKEY"
        first: float | None = None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            ms = round((frame.time - first) * 1000)
            if not frames or ms >= frames[-1].ms + step:
                picture = frame.to_ndarray(format="bgr24", width=width, height=height)
                frames.append(Frame(ms, picture))
            if len(frames) == _MOST_PICTURES:
                break
    return Footage(max(duration_ms, frames[-1].ms if frames else 0), tuple(frames))
