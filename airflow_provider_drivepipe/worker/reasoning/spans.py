"""Which part of a video a chunk or a highlight is; pure arithmetic over the times of frames.

Runs in DPE workers: standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Span

SHORTEST_REST = Fraction(1)
"""Seconds at the end of a video below which they are no chunk of their own but belong to the one before."""
SHORTEST_HIGHLIGHT = Fraction(2)
SNAP = Fraction(1)
"""Seconds by which a boundary moves, at most, so that clips can be cut at a key frame without decoding.

Cameras write a key frame every one to two seconds, so that one is within reach of any moment; and a chunk of
the shortest usual length, 5 seconds, still has at least 3.
"""


def chunk_length(duration: Fraction, options: Sequence[Fraction], max_chunks: int) -> Fraction:
    """Return the smallest of the ascending options that gives at most ``max_chunks``, else the largest."""
    return next((each for each in options if duration / each <= max_chunks), options[-1])


def chunk_count(duration: Fraction, options: Sequence[Fraction], max_chunks: int) -> int:
    """Return how many chunks :func:`chunk_spans` makes of a video of evenly spaced frames."""
    length = chunk_length(duration, options, max_chunks)
    return 1 + max(0, math.floor((duration - SHORTEST_REST) / length))


def chunk_spans(footage: Footage, length: Fraction, *, snaps: bool) -> list[Span]:
    """Return the chunks of a video, each with at least one frame; no frame is left out or in two of them.

    :param length: in seconds.
    :param snaps: whether boundaries move to a key frame that is near.
    """
    reach = min(SNAP, length / 4) if snaps else Fraction(0)
    starts = [0]
    boundary = length
    while boundary < footage.duration:
        start = _near(footage, boundary, reach)
        if start > starts[-1] and footage.duration - footage.time(start) >= SHORTEST_REST:
            starts.append(start)
        boundary += length
    stops = [*starts[1:], footage.frame_count]
    return [footage.span(first, stop) for first, stop in zip(starts, stops, strict=True)]


def highlight_span(footage: Footage, moment: Fraction, before: Fraction, after: Fraction) -> Span:
    """Return the frames around a moment, in seconds; at least two seconds where the video has them."""
    end = min(footage.duration, moment + after)
    start = max(Fraction(0), min(moment - before, end - SHORTEST_HIGHLIGHT))
    end = min(footage.duration, max(end, start + SHORTEST_HIGHLIGHT))
    first = footage.number_at(start)
    return footage.span(first, max(first + 1, footage.number_from(end)))


def spread(footage: Footage, span: Span, count: int) -> list[int]:
    """Return the numbers of the frames on screen in the middles of ``count`` equal parts, each once."""
    start, length = footage.time(span.first), footage.time(span.stop) - footage.time(span.first)
    middles = (start + length * (2 * part + 1) / (2 * count) for part in range(count))
    return sorted({max(span.first, footage.number_at(middle)) for middle in middles})


def _near(footage: Footage, boundary: Fraction, reach: Fraction) -> int:
    """Return the key frame nearest to a boundary, within reach, else the first frame from it on."""
    near = range(footage.number_from(boundary - reach), footage.number_from(boundary + reach))
    keys = [number for number in near if footage.starts_clean(number)]
    if keys:
        return min(keys, key=lambda number: abs(footage.time(number) - boundary))
    return footage.number_from(boundary)
