"""Which frames a sampling asks for and which packets have to be decoded to get them; pure arithmetic.

Runs in DPE workers: standard library only. Times are Fractions of a second since the first frame,
timestamps (``pts``) are integers in the stream's time base.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

AT_TIME, NEAREST, KEYFRAMES = "at_time", "nearest", "keyframes"
TIME_TOLERANCE = Fraction(1, 2000)
"""Seconds by which a frame may come late and still count as on time: containers round to milliseconds."""

COUNTED = Fraction(1, 240)
"""Seconds from which on a time base is one that counts frames."""


@dataclass(frozen=True)
class Lead:
    """How many seconds a file has run, sound for example, when its first frame appears.

    ``is_filled``: what is shown first stands for this time too.
    """

    seconds: Fraction = Fraction(0)
    is_filled: bool = False


@dataclass(frozen=True)
class Sampling:
    """Which moments of a video become frames: ``fps`` per second, or ``count`` spread over the video.

    ``rule`` says which frame stands for a moment. ``at_time``: the frame on screen then. ``nearest``: the one
    that ffmpeg's ``fps`` filter picks, which is the last before the middle of the moment's interval.
    ``keyframes``: no moments, but the first key frame of each interval of 1 / ``fps`` that has one.
    A key frame that is shown at most ``snap`` seconds from a moment stands for it instead.
    """

    fps: Fraction | None
    count: int | None
    rule: str
    snap: Fraction | None = None

    @classmethod
    def of(cls, fps: str | None, count: int | None, rule: str, snap_ms: int | None = None) -> Sampling:
        """Check and parse; ``fps`` is an integer, a decimal or a fraction. Raises ValueError."""
        if (fps is None) == (count is None):
            raise ValueError("exactly one of fps and sample count must be given")
        if rule not in (AT_TIME, NEAREST, KEYFRAMES):
            raise ValueError(f"unknown sampling rule {rule!r}; known: {AT_TIME}, {NEAREST}, {KEYFRAMES}")
        if rule == KEYFRAMES and count is not None:
            raise ValueError("key frames are where they are: at most one per interval, not so many per video")
        rate = None if fps is None else Fraction(fps)
        if (rate is not None and rate <= 0) or (count is not None and count < 1):
            raise ValueError("fps and sample count must be positive")
        if snap_ms is not None and (snap_ms < 0 or rule == KEYFRAMES):
            raise ValueError("only moments snap to key frames, within a time that is not negative")
        return cls(rate, count, rule, None if snap_ms is None else Fraction(snap_ms, 1000))

    def interval(self, seconds: Fraction) -> int:
        """Return the number of the interval of 1 / ``fps`` that a time lies in."""
        return math.floor(seconds * (self.fps or Fraction(1)))

    def times(self, duration: Fraction, lead: Lead | None = None) -> Iterator[Fraction]:
        """Yield the wanted times of a video of ``duration`` seconds; at least one.

        By count, these are the middles of equal parts. ffmpeg's filter counts from the start of the file, and
        what it picks first stands for the time before as well.
        """
        lead = lead or Lead()
        if self.count is not None:
            for i in range(self.count):
                yield Fraction(2 * i + 1, 2 * self.count) * duration
            return
        rate = self.fps or Fraction(1)
        if self.rule == NEAREST:
            # The filter rounds start and end to a whole number of intervals, a half upwards.
            first = _half_up(lead.seconds * rate)
            stop = max(first + 1, _half_up((lead.seconds + duration) * rate))
            for k in range(0 if lead.is_filled else first, stop):
                yield (max(first, k) + Fraction(1, 2)) / rate - lead.seconds
        else:
            for k in range(max(1, math.ceil(duration * rate))):
                yield k / rate


def _half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def tolerance(time_base: Fraction) -> Fraction:
    """Return how late a frame may be, in seconds: what rounding to the time base can make of it.

    A time base that is about as long as a frame, as in AVI, counts frames, and nothing is rounded.
    """
    return TIME_TOLERANCE if time_base >= COUNTED else max(TIME_TOLERANCE, time_base / 2)


@dataclass(frozen=True)
class PacketInfo:
    """One packet in decoding order: its presentation time, whether decoding can start at it, whether its
    frame is shown (an edit list may cut frames that others need), and whether another recording starts with
    it, whose frames need none of those before."""

    pts: int
    is_key: bool
    is_shown: bool = True
    starts_part: bool = False


@dataclass(frozen=True)
class Run:
    """Packets to feed to a fresh decoder, by their position in the file, and the samples that come out.

    ``samples`` maps a presentation time to the indexes of the samples that show this frame.
    """

    feed: tuple[int, ...]
    samples: dict[int, tuple[int, ...]]


class Timeline:
    """The frames of a stream in presentation order, known from its packets alone."""

    def __init__(self, packets: Sequence[PacketInfo], time_base: Fraction, last_duration: int) -> None:
        """``last_duration`` is that of the frame shown last, in the time base.

        Raises ValueError when no packet starts a decodable frame.
        """
        self._packets = packets
        self._time_base = time_base
        self._keys = [i for i, packet in enumerate(packets) if packet.is_key]
        self._shown = sorted(self._decodable(), key=lambda i: packets[i].pts)
        if not self._shown:
            raise ValueError("no packet starts a decodable frame")
        self._pts = [packets[i].pts for i in self._shown]
        self.first_pts = self._pts[0]
        self.duration = (self._pts[-1] + last_duration - self.first_pts) * time_base

    def _decodable(self) -> Iterator[int]:
        """Yield shown packets, without those that a cut recording left without their references."""
        starts = [i for i, packet in enumerate(self._packets) if packet.starts_part]
        for start, stop in itertools.pairwise((0, *starts, len(self._packets))):
            keys = [i for i in self._keys if start <= i < stop]
            if keys:
                yield from self._decodable_from(keys[0], keys[1] if len(keys) > 1 else stop, stop)

    def _decodable_from(self, first: int, second: int, stop: int) -> Iterator[int]:
        """Yield those of one recording, by its first two key frames and its end."""
        for i in range(first, stop):
            packet = self._packets[i]
            leads_the_first_key = i < second and packet.pts < self._packets[first].pts
            if packet.is_shown and not leads_the_first_key:
                yield i

    def seconds(self, pts: int) -> Fraction:
        """Return the time of a frame since the first one."""
        return (pts - self.first_pts) * self._time_base

    def longest_gap(self) -> Fraction:
        """Return the longest time between two successive frames, in seconds."""
        gaps = (later - earlier for earlier, later in zip(self._pts, self._pts[1:], strict=False))
        return max(gaps, default=0) * self._time_base

    def pick(self, sampling: Sampling, lead: Lead | None = None) -> dict[int, list[int]]:
        """Return, per packet whose frame is wanted, the indexes of the samples that it stands for."""
        if sampling.rule == KEYFRAMES:
            return self._pick_keys(sampling)
        late = tolerance(self._time_base) if sampling.rule == AT_TIME else Fraction(0)
        picked: dict[int, list[int]] = {}
        keys = [i for i in self._shown if self._packets[i].is_key]
        for index, moment in enumerate(sampling.times(self.duration, lead)):
            limit = (moment + late) / self._time_base + self.first_pts
            search = bisect.bisect_left if sampling.rule == NEAREST else bisect.bisect_right
            wanted = self._shown[max(0, search(self._pts, limit) - 1)]
            if sampling.snap is not None:
                wanted = self._snapped(wanted, moment, sampling.snap, keys)
            picked.setdefault(wanted, []).append(index)
        return picked

    def _snapped(self, wanted: int, time: Fraction, snap: Fraction, keys: Sequence[int]) -> int:
        """Return the one of ``keys`` (in presentation order) that is next to a time, if it is near enough."""
        after = bisect.bisect_left(keys, time, key=self._time_of)
        for key in sorted(keys[max(0, after - 1) : after + 1], key=lambda i: abs(self._time_of(i) - time)):
            return key if abs(self._time_of(key) - time) <= snap else wanted
        return wanted

    def _time_of(self, position: int) -> Fraction:
        return self.seconds(self._packets[position].pts)

    def _pick_keys(self, sampling: Sampling) -> dict[int, list[int]]:
        first: dict[int, int] = {}
        for i in self._shown:
            if self._packets[i].is_key:
                first.setdefault(sampling.interval(self.seconds(self._packets[i].pts)), i)
        # Where an edit list cuts away the only key frame, the first frame that is shown stands for it.
        return {i: [index] for index, i in enumerate(first.values() or self._shown[:1])}

    def runs(self, picked: dict[int, list[int]]) -> list[Run]:
        """Return what to decode for the picked packets: from each one's key frame on, and no further."""
        spans: list[tuple[int, int]] = []
        for wanted in sorted(picked):
            start = self._start_of(wanted)
            while spans and start <= spans[-1][1]:
                start = min(start, spans.pop()[0])
            spans.append((start, wanted))
        return [self._run(start, stop, picked) for start, stop in spans]

    def in_order(self) -> tuple[int, ...]:
        """Return every packet from the first key frame on."""
        return tuple(range(self._keys[0], len(self._packets)))

    def _start_of(self, wanted: int) -> int:
        """Return the key frame to start from; pictures shown before their key frame need the previous one."""
        position = bisect.bisect_right(self._keys, wanted) - 1
        key = self._keys[position]
        if position > 0 and self._packets[wanted].pts < self._packets[key].pts:
            return self._keys[position - 1]
        return key

    def _run(self, start: int, stop: int, picked: dict[int, list[int]]) -> Run:
        after = bisect.bisect_right(self._keys, start)
        next_key = self._keys[after] if after < len(self._keys) else len(self._packets)
        key_pts = self._packets[start].pts
        # Pictures that lead the first key frame need one that is not fed.
        feed = tuple(i for i in range(start, stop + 1) if i >= next_key or self._packets[i].pts >= key_pts)
        samples: dict[int, tuple[int, ...]] = {}
        for i, indexes in picked.items():
            if start <= i <= stop:
                # Broken files hold two packets of one time.
                pts = self._packets[i].pts
                samples[pts] = (*samples.get(pts, ()), *indexes)
        return Run(feed, samples)
