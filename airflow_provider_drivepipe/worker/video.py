"""Picks frames from a video by time, with PyAV. Runs in DPE workers: standard library and PyAV only."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

TRUNCATION_TOLERANCE = Fraction(1)
"""Seconds by which the last frame may end before the declared duration."""


class VideoError(Exception):
    """A video that gives no frames; ``reason`` is one of the typed reasons of the contracts."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Sample:
    """One picked frame: its index among the samples, its time in milliseconds, and the picture (RGB)."""

    index: int
    time_ms: int
    image: Any


def sample_times(
    duration: Fraction, fps: str | None, sample_count: int | None, rule: str
) -> Iterator[Fraction]:
    """Yield the wanted times in seconds from the first frame; at least one.

    At a rate: ``k / fps`` (``at_time``), or half an interval later (``nearest``, as ffmpeg's ``fps`` filter
    picks). By count: the middles of equal parts.
    """
    if sample_count is not None:
        for i in range(sample_count):
            yield Fraction(2 * i + 1, 2 * sample_count) * duration
        return
    rate = Fraction(fps or "1")
    shift = Fraction(1, 2) if rule == "nearest" else Fraction(0)
    k = 0
    while k == 0 or (k + shift) / rate < duration:
        yield (k + shift) / rate
        k += 1


def read_samples(
    path: str, fps: str | None, sample_count: int | None, rule: str, emit: Callable[[Sample], None]
) -> int:
    """Decode a video, call ``emit`` for every sample and return how many there were.

    Decodes in order: times come from the frames themselves, so variable rates, edit lists and B-frames need
    no special care. Raises VideoError; a video that ends well before its declared duration is ``truncated``.
    """
    import av

    av.logging.set_level(av.logging.PANIC)
    _check_file(path)
    try:
        container = av.open(path)
    except av.error.FFmpegError as error:
        raise _open_error(path, error) from error
    with container:
        stream = _video_stream(container)
        declared = _declared_duration(container, stream)
        return _decode(container, stream, declared, fps, sample_count, rule, emit)


def _check_file(path: str) -> None:
    try:
        with pathlib.Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise VideoError("access_denied", "the video cannot be read") from error
        raise VideoError("not_found", "there is no such object") from error
    if size == 0:
        raise VideoError("empty_file", "the file has no bytes")


def _open_error(path: str, error: Exception) -> VideoError:
    """Tell a cut-off MP4 (media data, no index) from something that is no video."""
    with pathlib.Path(path).open("rb") as file:
        boxes = _top_level_boxes(file)
    if ("ftyp" in boxes or "mdat" in boxes) and "moov" not in boxes:
        return VideoError("truncated", "media data without an index (moov): the upload was cut off")
    if "moov" in boxes:
        return VideoError("truncated", "the index (moov) is incomplete")
    return VideoError("not_a_video", f"no known video format ({type(error).__name__})")


def _top_level_boxes(file: Any) -> set[str]:
    """Names of an ISO media file's top-level boxes; empty for anything else."""
    boxes: set[str] = set()
    file.seek(0, os.SEEK_END)
    end = file.tell()
    position = 0
    while position + 8 <= end and len(boxes) < 64:
        file.seek(position)
        header = file.read(16)
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if not name.isalnum():
            break
        boxes.add(name.decode("ascii", "replace"))
        if size == 1 and len(header) == 16:
            size = int.from_bytes(header[8:16], "big")
        if size < 8:
            break
        position += size
    return boxes


def _video_stream(container: Any) -> Any:
    import av

    pictures = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams:
        raise VideoError("no_video_stream", "the file holds no video stream")
    for other in container.streams:
        if other is not streams[0]:
            other.discard = av.stream.Discard.all
    streams[0].thread_type = "NONE"
    return streams[0]


def _declared_duration(container: Any, stream: Any) -> Fraction | None:
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(container.duration, 1_000_000) if container.duration else None


def _decode(
    container: Any,
    stream: Any,
    declared: Fraction | None,
    fps: str | None,
    sample_count: int | None,
    rule: str,
    emit: Callable[[Sample], None],
) -> int:
    if sample_count is not None and not declared:
        raise VideoError("invalid_duration", "the file declares no duration, so samples cannot be spread")
    times = sample_times(declared or Fraction(10**9), fps, sample_count, rule)
    wanted = next(times, None)
    # "at_time" takes the last frame that is on screen at the time, "nearest" the last one before it.
    inclusive = rule != "nearest" and sample_count is None
    tolerance = Fraction(1, 2000) if inclusive else Fraction(0)
    previous: tuple[Fraction, Any] | None = None
    n = 0
    end = Fraction(0)
    for time, step, frame in _frames(container, stream):
        while previous is not None and wanted is not None:
            if not (time > wanted + tolerance if inclusive else time >= wanted):
                break
            emit(Sample(n, round(previous[0] * 1000), _picture(previous[1])))
            n += 1
            wanted = next(times, None)
        previous = (time, frame)
        end = time + step
    if previous is None:
        raise VideoError("no_frames", "no frame could be decoded")
    if declared and end + max(TRUNCATION_TOLERANCE, declared / 20) < declared:
        raise VideoError(
            "truncated", f"only {float(end):.1f} of {float(declared):.1f} seconds could be decoded"
        )
    while wanted is not None and (n == 0 or wanted < end or sample_count is not None):
        emit(Sample(n, round(previous[0] * 1000), _picture(previous[1])))
        n += 1
        wanted = next(times, None)
    return n


def _frames(container: Any, stream: Any) -> Iterator[tuple[Fraction, Fraction, Any]]:
    """Yield (time since the first frame, duration, frame) in presentation order, in seconds."""
    import av

    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    step = 1 / Fraction(rate)
    by_order = container.format.name == "avi"  # AVI with B-frames has no usable timestamps
    first: int | None = None
    index = 0
    errors = 0
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.error.InvalidDataError:
                errors += 1
                continue
            for frame in decoded:
                if by_order or frame.pts is None:
                    time = index * step
                else:
                    first = frame.pts if first is None else first
                    time = max(Fraction(0), (frame.pts - first) * stream.time_base)
                index += 1
                yield time, step, frame
    except av.error.EOFError:
        return
    except av.error.FFmpegError as error:
        raise VideoError("decode_error", f"decoding failed: {type(error).__name__}") from error
    if index == 0 and errors:
        raise VideoError("decode_error", f"{errors} packets could not be decoded")


def _picture(frame: Any) -> Any:
    """Return the frame as an upright RGB image; the display matrix turns it counter-clockwise."""
    image = frame.to_image()
    rotation = int(getattr(frame, "rotation", 0) or 0) % 360
    return image.rotate(rotation, expand=True) if rotation else image
