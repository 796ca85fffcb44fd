"""What the built-in tagger measures of a video or of several pictures: motion and vehicles over time."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from maxcompute_local.models.images import Image
from maxcompute_local.models.shaped_answers import Evidence, Span, clock
from maxcompute_local.models.videos import Footage, Frame

_SIZE = (80, 45)
"""Columns and rows to which pictures are averaged before they are compared."""
_AROUND = 4
"""Frames before and after a moment that are compared."""
_MOVING = 1.0
"""Mean change of grey levels from one frame to the next above which the camera moves."""
_STOPPED = 0.75
"""Share of its motion that a car loses in a sudden stop."""
_NEARER = 0.06
"""Share of the picture's width by which the vehicle ahead is suddenly wider after a cut-in."""


@dataclass(frozen=True)
class Seen:
    """What one picture shows: vehicles, and how much of its width the nearest one in the own lane takes."""

    vehicles: int
    nearness: float


@dataclass(frozen=True)
class _Change:
    """A change at a frame; ``size`` is 1 and above where it is a sudden one."""

    size: float
    text: str
    frame: int


def evidence(footage: Footage, label: dict[str, Any], look: Callable[[Image], Seen]) -> Evidence:
    """Measure footage; ``label`` tells of the scene, ``look`` counts what a picture shows."""
    frames = footage.frames
    grey = [
        cv2.resize(cv2.cvtColor(f.picture, cv2.COLOR_BGR2GRAY), _SIZE, interpolation=cv2.INTER_AREA)
        for f in frames
    ]
    motion = [float(np.abs(b.astype(float) - a).mean()) for a, b in itertools.pairwise(grey)]
    motion = motion[:1] + motion or [0.0]
    seen = [look(frame.picture) for frame in frames]
    brightness = round(float(np.mean([picture.mean() for picture in grey])))
    change = _largest_change(frames, motion, [one.nearness for one in seen])
    moment_ms = frames[change.frame].ms
    sudden = change.size >= 1
    spans = _spans(footage, moment_ms if sudden else None)
    vehicles = max(one.vehicles for one in seen)
    return Evidence(
        summary=f"{label['caption'] or 'Local stand-in: no road is seen.'} Brightness {brightness} of 255, "
        f"{_moving(motion)}, at most {vehicles} vehicles at once. {_sentence(change, moment_ms)}",
        spans=tuple(
            Span(
                start,
                end,
                f"{change.text}."
                if sudden and start <= moment_ms < end
                else _said(frames, motion, seen, start, end),
            )
            for start, end in spans
        ),
        moment_ms=moment_ms,
        sudden=sudden,
        reason=label["abstain_reason"] or _sentence(change, moment_ms),
        in_domain=not label["abstain"],
        known={
            **label,
            "caption": None,
            "vehicles": vehicles,
            "brightness": brightness,
            "abstain": label["abstain"] and not vehicles and statistics.median(motion) <= _MOVING,
        },
    )


def _sentence(change: _Change, moment_ms: int) -> str:
    if change.size >= 1:
        return f"At {clock(moment_ms)}: {change.text}."
    return "Nothing changes suddenly."


def _moving(motion: Sequence[float]) -> str:
    usual = statistics.median(motion)
    return f"the camera {'moves' if usual > _MOVING else 'stands still'} (motion {usual:.1f})"


def _said(
    frames: Sequence[Frame], motion: Sequence[float], seen: Sequence[Seen], start: int, end: int
) -> str:
    inside = [index for index, frame in enumerate(frames) if start <= frame.ms < end] or [0]
    vehicles = max(seen[index].vehicles for index in inside)
    return f"{_moving([motion[index] for index in inside])}, at most {vehicles} vehicles are seen."


def _spans(footage: Footage, moment_ms: int | None) -> list[tuple[int, int]]:
    """Cut the time around a moment, else into thirds, at the nearest full seconds."""
    start, end = footage.start_ms, footage.start_ms + footage.duration_ms
    if moment_ms is None:
        cuts = [start + footage.duration_ms // 3, start + footage.duration_ms * 2 // 3]
    else:
        cuts = [moment_ms - 1000, moment_ms + 1000]
    cuts = [(cut + 500) // 1000 * 1000 for cut in cuts]
    edges = sorted({start, end, *(cut for cut in cuts if start < cut < end)})
    return list(itertools.pairwise(edges)) or [(start, end)]


def _largest_change(frames: Sequence[Frame], motion: Sequence[float], nearness: Sequence[float]) -> _Change:
    largest = _Change(0, "", len(frames) // 2)
    for index in range(2, len(frames) - 1):
        around = slice(max(0, index - _AROUND), index), slice(index, index + _AROUND)
        before, after = (statistics.median(motion[part]) for part in around)
        if before > _MOVING:
            # Rounded: the first of nearly equal changes is when it happens.
            lost = round((before - after) / before, 1) / _STOPPED
            text = f"a sudden stop, motion falls from {before:.1f} to {after:.1f}"
            largest = max(largest, _Change(lost, text, index), key=lambda change: change.size)
        before, after = (statistics.median(nearness[part]) for part in around)
        if after > before * 1.5:
            text = f"a vehicle suddenly appears close ahead, {after:.0%} of the width instead of {before:.0%}"
            change = _Change((after - before) / _NEARER, text, index)
            largest = max(largest, change, key=lambda change: change.size)
    return largest
