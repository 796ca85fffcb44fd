"""A video that is open in this process: what it measures, when its frames are shown, their pictures.

Runs in DPE workers: standard library and PyAV only. Its packets are read once; pictures are decoded where
they are asked for, from the key frame before them.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.media_file import check_file
from airflow_provider_drivepipe.worker.timeline import PacketInfo, Timeline
from airflow_provider_drivepipe.worker.video import (
    _Decoder,
    _has_hole,
    _has_sized_units,
    _lacks_timestamps,
    _open,
    _Packets,
    _rate,
    _refuse_truncated,
    _timeline,
    _video_stream,
    load_decoder,
)

MAX_PIXELS = 7680 * 4320
"""Most pixels of a frame: a decoder holds up to 17 of them."""


Made = TypeVar("Made")


@dataclass(frozen=True)
class Span:
    """Frames of a video by their number in the order in which they are shown, and their time.

    :param first: number of the first frame.
    :param stop: number of the first frame behind it.
    :param start_ms: when the first frame appears, on the video's own clock.
    :param end_ms: when the last frame is replaced by the next one, or the video ends.
    """

    first: int
    stop: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Picture:
    """A decoded frame (of PyAV), as the file stores it, with its number and its timestamp."""

    number: int
    pts: int
    frame: Any


def upright_pixels(frame: Any, width: int, height: int, rotation: int) -> Any:
    """Return a decoded frame as RGB pixels (a numpy array) of this size, turned by ``rotation`` degrees."""
    import numpy as np

    size = (width, height) if rotation % 180 == 0 else (height, width)
    pixels = frame.reformat(*size, format="rgb24").to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, rotation // 90))


@contextlib.contextmanager
def open_footage(path: str) -> Iterator[Footage]:
    """Open a video; raise VideoError for what is no video, is cut off, or has frames that are too large."""
    load_decoder()
    size = check_file(path)
    with _open(path) as container:
        yield Footage(path, container, size)


class Footage:
    """An open video.

    :ivar duration: in seconds, from the first frame to the end of the last one.
    :ivar time_base: of timestamps, in seconds.
    :ivar rotation: degrees by which the pictures are to be turned, counter-clockwise.
    :ivar width, height: of the upright picture, in pixels.
    """

    def __init__(self, path: str, container: Any, size: int) -> None:
        self.stream = _video_stream(container)
        _refuse_large(self.stream.codec_context)
        self._packets = _Packets(path)
        self._packets.read(container, self.stream)
        _refuse_truncated(path, container, self.stream, self._packets, size)
        if not self._packets.count:
            raise VideoError(Reason.NO_FRAMES, "the video stream holds no packets")
        self._decoder = _Decoder(self.stream, self._packets)
        self.is_timed = not _lacks_timestamps(container, self.stream, self._packets)
        if self.is_timed:
            self._infos = self._packets.infos
            self._timeline = _timeline(self.stream, self._packets)
            self.time_base = Fraction(self.stream.time_base)
        else:
            # A frame's time is its place in the video over the frame rate.
            self._infos = [PacketInfo(place, is_key=True) for place in range(self._packets.count)]
            self.time_base = 1 / _rate(self.stream)
            self._timeline = Timeline(self._infos, self.time_base, last_duration=1)
        first = self._timeline.first_pts
        shown = {info.pts: at for at, info in enumerate(self._infos) if info.is_shown and info.pts >= first}
        self._pts = sorted(shown)
        self._places = [shown[pts] for pts in self._pts]
        self.duration = self._timeline.duration
        self.rotation, self.width, self.height = self._look()

    @property
    def frame_count(self) -> int:
        """How many frames are shown."""
        return len(self._pts)

    def time(self, number: int) -> Fraction:
        """Return when a frame appears, in seconds; the video's end for the number behind the last."""
        return self._timeline.seconds(self._pts[number]) if number < self.frame_count else self.duration

    def time_ms(self, number: int) -> int:
        """Return :meth:`time` in whole milliseconds."""
        return round(self.time(number) * 1000)

    def span(self, first: int, stop: int) -> Span:
        """Return the frames from ``first`` to before ``stop``."""
        return Span(first, stop, self.time_ms(first), self.time_ms(stop))

    def number_from(self, seconds: Fraction) -> int:
        """Return the number of the first frame that appears at a time or later."""
        return bisect.bisect_left(range(self.frame_count), seconds, key=self.time)

    def number_at(self, seconds: Fraction) -> int:
        """Return the number of the frame that is on screen at a time."""
        return max(0, bisect.bisect_right(range(self.frame_count), seconds, key=self.time) - 1)

    def starts_clean(self, number: int) -> bool:
        """Return whether the file says that decoding can start at this frame."""
        return self.is_timed and self._infos[self._places[number]].is_key

    def packets(self, span: Span) -> list[Any] | None:
        """Return the packets that hold these frames and nothing else, each a copy of its own.

        None where there are none such: the frames do not start at a key frame, or frames outside lie between
        them in the file, or data is damaged as far as that shows without decoding.
        """
        import av

        places = sorted(self._places[span.first : span.stop])
        is_alone = places[-1] - places[0] + 1 == len(places)
        if not is_alone or not self.starts_clean(span.first):
            return None
        is_sized = _has_sized_units(self.stream.codec_context)
        copies = []
        for packets in self._packets.take([tuple(places)]):
            for packet in packets:
                if packet.dts is None or packet.is_corrupt or (is_sized and _has_hole(packet)):
                    return None
                # The packet itself stays as it is: writing one changes its times.
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
                copies.append(copy)
        return copies

    def decode(self, numbers: Sequence[int], make: Callable[[Iterator[Picture]], Made]) -> Made:
        """Return what ``make`` makes of the pictures of these frames (ascending numbers).

        It may be called twice: in some files, key frames do not keep their promise, and only all that comes
        before a picture makes it whole. Raises VideoError ``decode_error`` for a picture that is missing or
        damaged.
        """
        try:
            return make(self._pictures(numbers, in_order=False))
        except VideoError:
            return make(self._pictures(numbers, in_order=True))

    def _pictures(self, numbers: Sequence[int], *, in_order: bool) -> Iterator[Picture]:
        wanted = {self._pts[number]: number for number in numbers}
        for pts, decoded in self._decoded(numbers, in_order=in_order or not self.is_timed):
            if pts in wanted and decoded.is_damaged:
                raise self._damaged(wanted[pts])
            if pts in wanted:
                yield Picture(wanted.pop(pts), pts, decoded.frame)
            if not wanted:
                return
        raise self._damaged(min(wanted.values()))

    def _decoded(self, numbers: Sequence[int], *, in_order: bool) -> Iterator[tuple[int | None, Any]]:
        if in_order:
            frames = enumerate(self._decoder.in_order(self._timeline.in_order()))
            yield from ((d.frame.pts if self.is_timed else place, d) for place, d in frames)
            return
        picked = {self._places[number]: [number] for number in numbers}
        for run, fed in self._decoder.feeds(self._timeline.runs(picked)):
            yield from ((d.frame.pts, d) for d in self._decoder.run(run, fed))

    def _damaged(self, number: int) -> VideoError:
        seconds = float(self.time(number))
        return VideoError(Reason.DECODE_ERROR, f"the picture at {seconds:.1f} s cannot be decoded")

    def _look(self) -> tuple[int, int, int]:
        """Return rotation, width and height of the first picture that can be decoded at all."""
        decoded = next(self._decoder.in_order(self._timeline.in_order()), None)
        if decoded is None:
            raise VideoError(Reason.DECODE_ERROR, "no frame could be decoded")
        frame = decoded.frame
        _refuse_large(frame)
        rotation = round(frame.rotation / 90) % 4 * 90
        size = (frame.width, frame.height) if rotation % 180 == 0 else (frame.height, frame.width)
        return rotation, *size


def _refuse_large(picture: Any) -> None:
    if picture.width * picture.height > MAX_PIXELS:
        raise VideoError(
            Reason.IMAGE_TOO_LARGE,
            f"frames of {picture.width} x {picture.height} pixels; the limit is {MAX_PIXELS} in all",
        )
