"""Picks frames from a video by time, with PyAV. Runs in DPE workers: standard library and PyAV only.

A video is read once. Its packets' timestamps tell which frame each sample needs, so that only the way from a
key frame to a wanted frame is decoded. Where an MP4's index tells the timestamps, much that no sample needs
is not even read. Where timestamps or key frames do not keep their promise, the video is decoded in order.

A video gives all its samples or none: a file that ends well before its index says is ``truncated``, and one
with a damaged picture among the wanted ones is a ``decode_error``. Whoever asks for it gets the samples
before such an end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.images import TargetSize
from airflow_provider_drivepipe.worker.media_file import check_file, has_cut_fragment, why_not_opened
from airflow_provider_drivepipe.worker.mp4_index import IndexedPacket, indexed_packets
from airflow_provider_drivepipe.worker.timeline import (
    KEYFRAMES,
    NEAREST,
    Lead,
    PacketInfo,
    Run,
    Sampling,
    Timeline,
)

MISSING_TOLERANCE = Fraction(1, 2)
"""Seconds of video that may be missing at the end of a file without it being called truncated."""
DECLARED_TOLERANCE = Fraction(1, 20)
"""Share of a declared duration that may be missing as well: outside MP4 it is often an estimate."""
LONGEST_GAP = Fraction(3600)
"""Seconds between two frames above which timestamps are not believed."""
CLOCK_JUMP = Fraction(10)
"""Seconds between two packets of a broadcast stream above which another recording begins, as in ffmpeg."""
CLOCK_STEP_BACK = Fraction(1, 10)
"""Seconds by which a broadcast stream's clock may step back without another recording beginning."""
KEY_STEP_BACK = Fraction(1)
"""The same of key frames, elsewhere; a key frame is shown after all frames that come before it."""
KEPT_BYTES = 256 << 20
"""Most bytes of packets that are held in memory; longer videos are read twice."""
SEEK_BYTES = 8 << 20
"""Bytes of successive packets, none of them needed, from which on they are skipped: a seek is a request."""

_FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,flv,asf,ogg,ivf,obu,mjpeg,mxf,dv,nut,gif,"
    "wav,mp3,aac,flac"
)
"""Formats that may be opened. Not playlists, which name other files, nor still images and text."""
_TS_DISCONT = 0x0200
"""Flag of formats whose clock may jump (AVFMT_TS_DISCONT)."""
_DEFAULT_RATE = Fraction(25)
_REORDERED = 4
"""Frames that may still be missing before the last ones of a file that was cut and has no timestamps."""
_MAX_DEMUX_ERRORS = 100


@dataclass(frozen=True)
class Sample:
    """One picked frame: its index among the samples, its time in milliseconds, and the picture.

    ``pixels`` is a Pillow image of mode RGBX: as the decoder's pixels are converted, without another copy.
    """

    index: int
    time_ms: int
    pixels: Any

    @property
    def image(self) -> Any:
        """The picture as RGB, a copy."""
        return self.pixels.convert("RGB")


def load_decoder() -> None:
    """Import what decodes and encodes; done before a process is forked, none of its children has to."""
    import av
    import PIL.Image
    import PIL.WebPImagePlugin

    PIL.Image.preinit()
    av.logging.set_level(av.logging.PANIC)


def decode_samples(
    path: str,
    sampling: Sampling,
    make: Callable[[Sample], Any] = lambda sample: sample,
    *,
    longest_side: int | None = None,
    note_cut: Callable[[str], None] | None = None,
    decoders: int = 1,
) -> Iterator[Any]:
    """Yield what ``make`` makes of the samples of a video, each once, not always in order; at least one.

    Pictures with sides above ``longest_side`` pixels are made smaller; they keep their aspect ratio.
    With ``note_cut`` a file whose end is missing or damaged gives the samples before that, and it is told
    what is missing. With several ``decoders``, as many threads decode and call ``make``, each holding one
    picture; what is made should hold none. Raises VideoError, possibly after some samples.
    """
    load_decoder()
    size = check_file(path)
    with _open(path) as container:
        stream = _video_stream(container)
        packets = _read_packets(path, container, stream, sampling, size)
        try:
            _refuse_truncated(path, container, stream, packets, size)
        except VideoError as error:
            if note_cut is None or not packets.leave_out_end():
                raise
            note_cut(str(error))
        if not packets.count:
            raise VideoError(Reason.NO_FRAMES, "the video stream holds no packets")
        decoder = _Decoder(stream, packets, longest_side)
        pieces = _pieces(decoder, sampling, container, lambda sample: (sample.index, make(sample)), decoders)
        for _, made in pieces if note_cut is None else _up_to_damage(pieces, note_cut):
            yield made


_Make = Callable[[Sample], tuple[int, Any]]
_Pieces = Iterator[tuple[int, Any]]
"""The index of each sample, and what was made of it."""


def _pieces(decoder: _Decoder, sampling: Sampling, container: Any, make: _Make, decoders: int) -> _Pieces:
    stream, packets = decoder.stream, decoder.packets
    if _lacks_timestamps(container, stream, packets):
        yield from map(make, _by_order(decoder, sampling, container))
        return
    timeline, runs = _plan(container, stream, packets, sampling)
    missing: dict[int, tuple[int, ...]] = {}

    def work(own: _Decoder, run: Run, fed: Iterable[Any]) -> _Pieces:
        return map(make, _of_run(own, run, fed, timeline, missing))

    if min(decoders, len(runs)) > 1:
        yield from _side_by_side(decoder, runs, work, min(decoders, len(runs)))
    else:
        for run, fed in decoder.feeds(runs):
            yield from work(decoder, run, fed)
    if missing:
        yield from map(make, _in_order(decoder, timeline, missing))


def _side_by_side(
    decoder: _Decoder, runs: list[Run], work: Callable[[_Decoder, Run, Iterable[Any]], _Pieces], count: int
) -> _Pieces:
    """Yield what ``work`` yields for each run, in ``count`` threads with a decoder each.

    Packets of a few runs are held, and one picture per thread.
    """
    idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
    idle.put(decoder)
    with contextlib.ExitStack() as opened, ThreadPoolExecutor(count) as pool:

        def do(run: Run, fed: list[Any]) -> list[tuple[int, Any]]:
            try:
                own = idle.get_nowait()
            except queue.Empty:
                own = decoder.another(opened)
            try:
                return list(work(own, run, fed))
            finally:
                idle.put(own)

        pending: deque[Future[list[tuple[int, Any]]]] = deque()
        try:
            for run, fed in decoder.feeds(runs):
                pending.append(pool.submit(do, run, list(fed)))
                if len(pending) > 2 * count:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            for each in pending:
                each.cancel()


def _up_to_damage(pieces: _Pieces, note_cut: Callable[[str], None]) -> _Pieces:
    """Yield pieces; where none behind a damaged picture is whole, the video ends there."""
    indexes: set[int] = set()
    try:
        for piece in pieces:
            indexes.add(piece[0])
            yield piece
    except VideoError as error:
        if error.reason != Reason.DECODE_ERROR or not indexes or len(indexes) <= max(indexes):
            raise
        note_cut(str(error))


def _open(path: str) -> Any:
    import av

    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        return av.open(path, options=options)
    except av.error.FFmpegError as error:
        raise why_not_opened(path) from error


def _video_stream(container: Any) -> Any:
    """Return the first video stream that is no cover picture; the others are not read."""
    import av

    pictures = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & pictures]
    if not streams:
        raise VideoError(Reason.NO_VIDEO_STREAM, "the file holds no video stream")
    for other in container.streams:
        if other is not streams[0]:
            other.discard = av.stream.Discard.all
    if streams[0].codec_context is None:
        raise VideoError(Reason.DECODE_ERROR, "there is no decoder for this video's codec")
    # One core per video; frame threads cost more for the same frames.
    streams[0].thread_type = "NONE"
    return streams[0]


def _read_packets(path: str, container: Any, stream: Any, sampling: Sampling, size: int) -> _Packets:
    """Read the packets that the samples need, if the index tells which and that spares much, else all."""
    indexed = _indexed(path, container, stream, sampling, size)
    if indexed:
        packets = _Packets(path, indexed)
        _, runs = _plan(container, stream, packets, sampling)
        spans = [range(run.feed[0], run.feed[-1] + 1) for run in runs]
        if _spares_much(indexed, spans):
            if packets.read_spans(container, stream, indexed, spans):
                return packets
            container.seek(indexed[0].pts, stream=stream)
    packets = _Packets(path)
    packets.read(container, stream)
    return packets


def _indexed(path: str, container: Any, stream: Any, sampling: Sampling, size: int) -> list[IndexedPacket]:
    """Return the packets by the file's index, if that is certain to tell which frames the samples need.

    Which are key frames is not certain: the content of packets that are not read may say otherwise. Packets
    of other codecs may be split or joined on reading.
    """
    goes_by_keys = sampling.rule == KEYFRAMES or sampling.snap is not None
    is_known = "mp4" in container.format.name and stream.codec_context.name in ("h264", "hevc")
    if goes_by_keys or not is_known or size < SEEK_BYTES:
        return []
    packets = indexed_packets(path, stream, size)
    latest = itertools.accumulate((packet.pts for packet in packets), max)
    most_back = max((last - packet.pts for last, packet in zip(latest, packets, strict=True)), default=0)
    leads_the_first = any(packet.pts < packets[0].pts for packet in packets)
    is_one_clock = most_back * Fraction(stream.time_base) <= KEY_STEP_BACK
    return packets if is_one_clock and not leads_the_first else []


def _spares_much(indexed: list[IndexedPacket], spans: list[range]) -> bool:
    """Return whether reading and keeping only these positions leaves out enough in one place."""
    starts, stops = [*(span.start for span in spans), len(indexed)], [0, *(span.stop for span in spans)]
    most = max(_size(indexed[stop:start]) for stop, start in zip(stops, starts, strict=True))
    kept = sum(_size(indexed[span.start : span.stop]) for span in spans)
    return most >= SEEK_BYTES and kept <= KEPT_BYTES


def _size(packets: list[IndexedPacket]) -> int:
    return sum(packet.size for packet in packets)


class _Packets:
    """The packets of one stream in file order: facts about all, and the packets again for decoding."""

    def __init__(self, path: str, indexed: Iterable[IndexedPacket] = ()) -> None:
        self._path = path
        self._kept: dict[int, Any] | None = {}
        self.infos = [PacketInfo(packet.pts, packet.is_key) for packet in indexed]
        self.durations = {packet.pts: packet.duration for packet in indexed}
        self.count = self.shown_count = len(self.infos)
        self.whole: set[int] = set()
        self.complete_timestamps = self.is_one_recording = True
        self._last_dts: int | None = None

    def read_spans(
        self, container: Any, stream: Any, indexed: list[IndexedPacket], spans: list[range]
    ) -> bool:
        """Keep the packets at these positions; return whether all are what the index says."""
        kept: dict[int, Any] = {}
        numbered = enumerate(_demux(container, stream))
        position = 0
        for span in spans:
            if _size(indexed[position : span.start]) >= SEEK_BYTES:
                numbered = enumerate(_demux_from(container, stream, indexed[span.start].pts), span.start)
            kept.update(_at(numbered, span))
            position = span.stop
        self._kept = kept
        return all(i in kept and _facts(kept[i]) == indexed[i] for span in spans for i in span)

    def read(self, container: Any, stream: Any) -> None:
        """Learn about all packets; keep them unless they are too many."""
        kept_bytes = 0
        clock = _Clock(container, stream)
        flags = [False, False]
        for packet in _demux(container, stream):
            starts_part = clock.correct(packet)
            if starts_part and any(flags):
                self._leave_out_last()
            flags = [flags[1], packet.is_corrupt]
            self.count += 1
            kept_bytes += packet.size
            if kept_bytes > KEPT_BYTES:
                self._kept = None
            if self._kept is not None:
                self._kept[self.count - 1] = packet
            if packet.pts is None:
                self.complete_timestamps = False
                continue
            self.infos.append(
                PacketInfo(packet.pts, packet.is_keyframe, not packet.is_discard, starts_part=starts_part)
            )
            self.durations[packet.pts] = packet.duration or 0
            self._last_dts = packet.dts
        self.shown_count = self.count
        self.is_one_recording = not any(info.starts_part for info in self.infos)
        # A first key frame that is damaged is not recognised as one by its content, but the index knows.
        if self.infos and any(entry.is_keyframe for entry in stream.index_entries[:1]):
            self.infos[0] = dataclasses.replace(self.infos[0], is_key=True)

    def _leave_out_last(self) -> None:
        """Leave out the last frame of a recording that another one follows.

        Whether it is whole cannot be told, for its end looks like a loss. That is noted at the packet before
        it, which was complete only once this one came.
        """
        if len(self.infos) > 1:
            self.whole.add(self.infos[-2].pts)
            self.infos[-1] = dataclasses.replace(self.infos[-1], is_shown=False)

    def leave_out_end(self) -> bool:
        """Leave out what cannot be whole in a file that was cut; return whether any frame is left.

        That is the last packet, of which only a part may be there, and the frames that are shown behind
        others which may be missing: those come with a decoding time, and are not shown before it.
        """
        self.shown_count = max(1, self.count - 1 - _REORDERED)
        if not self.complete_timestamps or self._last_dts is None:
            return self.count > 1
        self.infos = [
            dataclasses.replace(info, is_shown=info.is_shown and info.pts < self._last_dts)
            for info in self.infos
        ]
        return any(info.is_shown for info in self.infos)

    def open(self) -> Any:
        """Return the file's container, opened once more."""
        return _open(self._path)

    def take(self, feeds: Iterable[tuple[int, ...]]) -> Iterator[Iterator[Any]]:
        """Yield, per feed, the packets at its positions; feeds are in order and do not overlap."""
        feeds = list(feeds)
        kept = self._kept
        if kept is not None and all(i in kept for feed in feeds for i in feed):
            yield from ((kept[i] for i in feed) for feed in feeds)
            return
        with self.open() as container:
            stream = _video_stream(container)
            clock = _Clock(container, stream)
            numbered = enumerate(_corrected(_demux(container, stream), clock))
            for feed in feeds:
                yield (packet for _, packet in _at(numbered, feed))


def _facts(packet: Any) -> IndexedPacket:
    return IndexedPacket(packet.pos, packet.size, packet.pts, packet.duration, packet.is_keyframe)


def _at(numbered: Iterator[tuple[int, Any]], positions: Sequence[int]) -> Iterator[tuple[int, Any]]:
    wanted = frozenset(positions)
    for position, packet in numbered:
        if position in wanted:
            yield position, packet
        if position >= positions[-1]:
            return


def _demux(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets with content up to the end of what can be read."""
    import av

    errors = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            errors += 1
            if errors > _MAX_DEMUX_ERRORS:
                return
            packets = container.demux(stream)
            continue
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, OSError) as error:
            raise VideoError(Reason.DECODE_ERROR, f"reading failed: {type(error).__name__}") from error
        if packet is None:
            return
        if packet.size:
            yield packet


def _demux_from(container: Any, stream: Any, pts: int) -> Iterator[Any]:
    """Yield the packets from the key frame on that is shown at ``pts``; none where that cannot be found."""
    import av

    with contextlib.suppress(av.error.FFmpegError):
        container.seek(pts, stream=stream)
        yield from _demux(container, stream)


def _corrected(packets: Iterator[Any], clock: _Clock) -> Iterator[Any]:
    for packet in packets:
        clock.correct(packet)
        yield packet


class _Clock:
    """Makes one clock of the clocks of recordings that were joined byte by byte, as in ``cat a.ts b.ts``."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._time_base = Fraction(stream.time_base)
        self._frame = int(1 / _rate(stream) / self._time_base)
        self._may_restart = bool(container.format.flags & _TS_DISCONT)
        self._next_dts: int | None = None
        self._last_pts: int | None = None
        self._offset = 0

    def correct(self, packet: Any) -> bool:
        """Move the packet to the one clock; return whether another recording begins with it.

        Raises VideoError where that shows in a format in which nothing tells how they follow each other.
        """
        if not self._may_restart:
            self._refuse_restart(packet)
            return False
        if packet.dts is None:
            return False
        starts = self._next_dts is not None and self._jumps(
            (packet.dts + self._offset - self._next_dts) * self._time_base
        )
        if starts and self._next_dts is not None:
            self._offset = self._next_dts - packet.dts
        packet.dts += self._offset
        if packet.pts is not None:
            packet.pts += self._offset
        self._next_dts = packet.dts + (packet.duration or self._frame)
        return starts

    def _jumps(self, seconds: Fraction) -> bool:
        return seconds > CLOCK_JUMP or seconds < -CLOCK_STEP_BACK

    def _refuse_restart(self, packet: Any) -> None:
        # Frames that an edit list cuts away may lie before others: a later part may start from them.
        if packet.pts is None or packet.is_discard:
            return
        if self._last_pts is None or packet.pts > self._last_pts:
            self._last_pts = packet.pts
        elif packet.is_keyframe and (self._last_pts - packet.pts) * self._time_base > KEY_STEP_BACK:
            raise VideoError(
                Reason.CLOCK_RESTARTS, "the video's clock starts again: several recordings in one file"
            )


def _refuse_truncated(path: str, container: Any, stream: Any, packets: _Packets, size: int) -> None:
    """Raise VideoError when the file says of more video than it holds.

    A fragmented MP4 declares no duration and has an index per fragment, so there any cut fragment counts.
    """
    present, promised = _indexed_seconds(stream, size)
    if promised - present > MISSING_TOLERANCE:
        raise _truncated(present, promised)
    if "mp4" in container.format.name:
        # Its index is exact; its declared durations are not, where an edit list cuts the video.
        if has_cut_fragment(path):
            raise VideoError(Reason.TRUNCATED, "the file was cut off: its last fragment is incomplete")
        return
    if not packets.is_one_recording:
        # What is declared is the difference of the last recording's clock and the first one's.
        return
    promised = _declared_duration(container, stream) or Fraction(0)
    present = _present_seconds(stream, packets)
    if promised - present > max(MISSING_TOLERANCE, promised * DECLARED_TOLERANCE):
        raise _truncated(present, promised)


def _truncated(present: Fraction, promised: Fraction) -> VideoError:
    seconds = f"{float(present):.1f} of {float(promised):.1f} seconds"
    return VideoError(Reason.TRUNCATED, f"the file was cut off: it holds {seconds}")


def _present_seconds(stream: Any, packets: _Packets) -> Fraction:
    """Return where the last frame ends; Matroska counts from 0 even if the first frame comes later."""
    if not packets.complete_timestamps:
        return packets.count / _rate(stream)
    if not packets.infos:
        return Fraction(0)
    times = [info.pts for info in packets.infos]
    return (max(times) - min(0, *times)) * Fraction(stream.time_base) + 1 / _rate(stream)


def _indexed_seconds(stream: Any, size: int) -> tuple[Fraction, Fraction]:
    """Return how much of the indexed video lies within the file, and how much the index lists, in seconds."""
    entries = stream.index_entries
    if len(entries) < 2:
        return Fraction(0), Fraction(0)
    within = [e.timestamp for e in entries if e.pos + e.size <= size]
    everything = [e.timestamp for e in entries]
    first, last = min(everything), max(everything)
    present = max(within) - first if within else 0
    return present * stream.time_base, (last - first) * stream.time_base


def _declared_duration(container: Any, stream: Any) -> Fraction | None:
    """Return the video's own declared duration in seconds; the file's only where it holds nothing else."""
    if container.format.name == "avi" and stream.frames:
        return Fraction(stream.frames) / _rate(stream)
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    tag = _clock_seconds(stream.metadata.get("DURATION", ""))
    if tag is not None:
        return tag
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, 1_000_000)
    return None


def _clock_seconds(text: str) -> Fraction | None:
    """Parse ``HH:MM:SS.fraction``."""
    parts = text.strip().split(":")
    if len(parts) != 3:
        return None
    try:
        hours, minutes, seconds = (Fraction(part) for part in parts)
    except (ValueError, ZeroDivisionError):
        return None
    return hours * 3600 + minutes * 60 + seconds


def _rate(stream: Any) -> Fraction:
    return Fraction(stream.average_rate or stream.guessed_rate or _DEFAULT_RATE)


def _lacks_timestamps(container: Any, stream: Any, packets: _Packets) -> bool:
    """Return whether frames have to be counted: raw streams, and AVI where frames may be reordered."""
    if not packets.complete_timestamps:
        return True
    codec = stream.codec_context
    return container.format.name == "avi" and (
        codec.has_b_frames or codec.name in ("mpeg4", "msmpeg4v3", "h264", "hevc")
    )


def _timeline(stream: Any, packets: _Packets) -> Timeline:
    last = max((info.pts for info in packets.infos if info.is_shown), default=packets.infos[-1].pts)
    duration = packets.durations[last] or int(1 / _rate(stream) / stream.time_base)
    try:
        timeline = Timeline(packets.infos, Fraction(stream.time_base), duration)
    except ValueError as error:
        raise VideoError(Reason.NO_FRAMES, "the video stream has no key frame") from error
    if timeline.longest_gap() > LONGEST_GAP:
        hours = float(timeline.longest_gap() / 3600)
        raise VideoError(
            Reason.INVALID_DURATION, f"the timestamps jump by {hours:.1f} hours between two frames"
        )
    return timeline


def _plan(container: Any, stream: Any, packets: _Packets, sampling: Sampling) -> tuple[Timeline, list[Run]]:
    timeline = _timeline(stream, packets)
    started = timeline.first_pts * Fraction(stream.time_base)
    return timeline, timeline.runs(timeline.pick(sampling, _lead(container, stream, started)))


@dataclass(frozen=True)
class _Decoded:
    """A frame, and whether data that it may build on was missing or damaged."""

    frame: Any
    is_damaged: bool


class _Decoder:
    """Decodes packets of one stream, each feed from a clean start."""

    def __init__(self, stream: Any, packets: _Packets, longest_side: int | None = None) -> None:
        self.stream = stream
        self.packets = packets
        self.had_damage = False
        self._size = TargetSize(longest_side)
        self._codec = stream.codec_context
        self._may_skip = _may_skip_unreferenced(self._codec)
        self._has_sized_units = _has_sized_units(self._codec)

    def another(self, opened: contextlib.ExitStack) -> _Decoder:
        """Return a decoder of the same stream, for another thread; ``opened`` closes what it needs."""
        container = opened.enter_context(self.packets.open())
        return _Decoder(_video_stream(container), self.packets, self._size.longest_side)

    def feeds(self, runs: list[Run]) -> Iterator[tuple[Run, Iterator[Any]]]:
        """Yield each run with its packets."""
        return zip(runs, self.packets.take(run.feed for run in runs), strict=True)

    def run(self, run: Run, fed: Iterable[Any]) -> Iterator[_Decoded]:
        """Yield the frames of a run; pictures that nothing refers to are left out unless wanted."""
        return self._decode(fed, frozenset(run.samples) if self._may_skip else None)

    def in_order(self, feed: tuple[int, ...]) -> Iterator[_Decoded]:
        """Yield every frame of these packets."""
        for packets in self.packets.take([feed]):
            yield from self._decode(packets, None)

    def _decode(self, packets: Iterable[Any], wanted: frozenset[int] | None) -> Iterator[_Decoded]:
        import av

        codec = self._codec
        codec.flush_buffers()
        codec.skip_frame = "DEFAULT"
        is_damaged = False
        # Key frames fed since the last damage: once one of them comes out, the picture is whole again.
        clean_keys: set[int | None] = set()
        for packet in itertools.chain(packets, [None]):
            if packet is not None:
                is_corrupt = packet.is_corrupt and packet.pts not in self.packets.whole
                if is_corrupt or (self._has_sized_units and _has_hole(packet)):
                    is_damaged = self.had_damage = True
                    clean_keys.clear()
                elif packet.is_keyframe:
                    clean_keys.add(packet.pts)
                if wanted is not None:
                    codec.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            try:
                frames = codec.decode(packet)
            except (av.error.InvalidDataError, av.error.EOFError):
                is_damaged = self.had_damage = True
                clean_keys.clear()
                continue
            except av.error.FFmpegError as error:
                raise VideoError(Reason.DECODE_ERROR, f"decoding failed: {type(error).__name__}") from error
            for frame in frames:
                if frame.is_corrupt:
                    is_damaged = self.had_damage = True
                    clean_keys.clear()
                elif frame.key_frame and frame.pts in clean_keys:
                    is_damaged = False
                yield _Decoded(frame, is_damaged)

    def picture(self, frame: Any) -> Any:
        """Return a frame as upright RGBX pixels: cameras store how it is to be turned, in degrees."""
        import PIL.Image

        turns = {
            1: PIL.Image.Transpose.ROTATE_90,
            2: PIL.Image.Transpose.ROTATE_180,
            3: PIL.Image.Transpose.ROTATE_270,
        }
        width, height = self._size.of(frame.width, frame.height)
        # Not to_image() nor RGB, which copy the picture several times more. But FFmpeg converts eight pixels
        # at a time, and leaves out the last ones where a row has no room for them: rows are padded to four.
        format_, mode = ("rgb0", "RGBX") if -width % 8 < 4 else ("rgb24", "RGB")
        plane = frame.reformat(width, height, format_, interpolation="AREA", threads=1).planes[0]
        rows = (mode, abs(plane.line_size), 1 if plane.line_size > 0 else -1)
        image = PIL.Image.frombuffer("RGBX", (plane.width, plane.height), plane, "raw", *rows)
        turn = turns.get(round(frame.rotation / 90) % 4)
        return image if turn is None else image.transpose(turn)


def _may_skip_unreferenced(codec: Any) -> bool:
    """Return whether the decoder can tell which pictures no other one needs.

    H.264 says so itself; HEVC only where the stream has a single temporal layer, which its header tells.
    """
    if codec.name == "h264":
        return True
    header = codec.extradata or b""
    return bool(codec.name == "hevc" and len(header) > 22 and header[0] == 1 and (header[21] >> 3) & 7 == 1)


def _has_sized_units(codec: Any) -> bool:
    """Return whether packets hold units with a length before each, as in MP4, and not start codes."""
    return codec.name in ("h264", "hevc") and (codec.extradata or b"")[:1] == b"\x01"


def _has_hole(packet: Any) -> bool:
    """Return whether part of a packet of sized units was never written.

    Four zero bytes in a row occur neither inside a unit nor in a length. HEVC decoders do not notice them.
    """
    return b"\0\0\0\0" in bytes(packet)


def _lead(container: Any, stream: Any, started: Fraction) -> Lead:
    """Return how long the file has run when its first frame appears, at ``started`` on the stream's clock."""
    ticks = round(Fraction(container.start_time or 0, 1_000_000) / stream.time_base)
    seconds = max(Fraction(0), started - ticks * Fraction(stream.time_base))
    return Lead(seconds, is_filled=len(container.streams) > 1)


def _of_run(
    decoder: _Decoder,
    run: Run,
    fed: Iterable[Any],
    timeline: Timeline,
    missing: dict[int, tuple[int, ...]],
) -> Iterator[Sample]:
    """Decode only what the samples need; what does not come out whole is added to ``missing``."""
    wanted = dict(run.samples)
    for decoded in decoder.run(run, fed):
        if decoded.frame.pts in wanted and not decoded.is_damaged:
            pts = decoded.frame.pts
            yield from _samples(decoder, decoded.frame, timeline, wanted.pop(pts), pts)
    missing.update(wanted)


def _in_order(decoder: _Decoder, timeline: Timeline, missing: dict[int, tuple[int, ...]]) -> Iterator[Sample]:
    frames = decoder.in_order(timeline.in_order())
    with_pts = ((d.frame.pts, d) for d in frames if d.frame.pts is not None)
    yield from _last_at(with_pts, missing, timeline, decoder)


def _by_order(decoder: _Decoder, sampling: Sampling, container: Any) -> Iterator[Sample]:
    """Decode everything; the time of a frame is its place in the video over the frame rate."""
    packets = decoder.packets
    places = [
        PacketInfo(place, is_key=True, is_shown=place < packets.shown_count) for place in range(packets.count)
    ]
    timeline = Timeline(places, 1 / _rate(decoder.stream), last_duration=1)
    if sampling.rule == KEYFRAMES:
        yield from _keys_by_order(decoder, timeline, sampling, packets.shown_count)
        return
    lead = Lead()
    if sampling.rule == NEAREST and (first := next(decoder.in_order(timeline.in_order()), None)):
        # ffmpeg knows no other time of such a frame than that of the packet which made it come out.
        lead = _lead(container, decoder.stream, Fraction((first.frame.dts or 0) * decoder.stream.time_base))
    # Which of the places are key frames is not known, nor would it save anything.
    picked = timeline.pick(dataclasses.replace(sampling, snap=None), lead)
    wanted = {place: tuple(indexes) for place, indexes in picked.items()}
    yield from _last_at(enumerate(decoder.in_order(timeline.in_order())), wanted, timeline, decoder)


def _keys_by_order(decoder: _Decoder, timeline: Timeline, sampling: Sampling, stop: int) -> Iterator[Sample]:
    intervals: set[int] = set()
    for place, decoded in enumerate(itertools.islice(decoder.in_order(timeline.in_order()), stop)):
        interval = sampling.interval(timeline.seconds(place))
        if decoded.frame.key_frame and interval not in intervals:
            index = len(intervals)
            intervals.add(interval)
            yield from _whole_samples((place, decoded), place, (index,), timeline, decoder)
    if not intervals:
        raise VideoError(Reason.DECODE_ERROR, "no key frame could be decoded")


def _last_at(
    frames: Iterable[tuple[int, _Decoded]],
    wanted: dict[int, tuple[int, ...]],
    timeline: Timeline,
    decoder: _Decoder,
) -> Iterator[Sample]:
    """Yield the samples of ``wanted`` from frames in order: for each, the last frame that is not later."""
    times = sorted(wanted)
    previous: tuple[int, _Decoded] | None = None
    for pts, decoded in frames:
        while previous is not None and times and pts > times[0]:
            yield from _whole_samples(previous, times[0], wanted[times[0]], timeline, decoder)
            times.pop(0)
        previous = (pts, decoded)
        if not times:
            return
    if previous is None:
        reason = Reason.DECODE_ERROR if decoder.had_damage else Reason.NO_FRAMES
        raise VideoError(reason, "no frame could be decoded")
    for moment in times:
        yield from _whole_samples(previous, moment, wanted[moment], timeline, decoder)


def _whole_samples(
    at: tuple[int, _Decoded], wanted: int, indexes: tuple[int, ...], timeline: Timeline, decoder: _Decoder
) -> Iterator[Sample]:
    pts, decoded = at
    is_lost = pts != wanted and decoder.had_damage
    if decoded.is_damaged or is_lost:
        seconds = float(timeline.seconds(wanted))
        raise VideoError(
            Reason.DECODE_ERROR, f"the picture at {seconds:.1f} s cannot be decoded: damaged data"
        )
    yield from _samples(decoder, decoded.frame, timeline, indexes, pts)


def _samples(
    decoder: _Decoder, frame: Any, timeline: Timeline, indexes: tuple[int, ...], pts: int
) -> Iterator[Sample]:
    time_ms = max(0, round(timeline.seconds(pts) * 1000))
    pixels = decoder.picture(frame)
    for index in indexes:
        yield Sample(index, time_ms, pixels)
