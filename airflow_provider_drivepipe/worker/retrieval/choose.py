"""Which frames of a video an arm shows: pure functions of numpy arrays. Runs in DPE workers.

Frames are places in arrays that are in order of time, then of number. Of two equal scores the earlier frame
comes first, so that every choice is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RANK_CONSTANT = 60
"""Of reciprocal rank fusion, as Cormack, Clarke and Büttcher (SIGIR 2009) set it."""
_DIGITS = 12
"""Decimals of a cosine: fewer than what rounding errors reach, more than what tells two frames apart."""
_BLOCK = 512
"""Vectors whose products are held at a time."""


@dataclass(frozen=True)
class Chosen:
    """A frame that an arm shows.

    :param place: in the arrays.
    :param score: what it was chosen by, None where nothing was scored.
    :param found_by: numbers of the queries that found it.
    """

    place: int
    score: float | None = None
    found_by: tuple[int, ...] = ()


def unit_vectors(vectors: Any) -> Any:
    """Return the rows of a float64 matrix with length 1; none of them may be 0."""
    import numpy as np

    return vectors / np.sqrt(np.add.reduce(vectors * vectors, axis=1))[:, None]


def cosines(matrix: Any, query: Any) -> Any:
    """Return the cosine of each row of a matrix of :func:`unit_vectors` with one such vector, as float64.

    A score depends on its two vectors only, to the last bit: equal frames have equal scores. A matrix product
    does not say so, since a row's place decides how it is summed up. Scores are rounded to 12 decimals, so
    that equal ones are equal over queries too, and a frame that is the query has 1.
    """
    import numpy as np

    parts = [
        np.add.reduce(matrix[start : start + _BLOCK] * query, axis=1)
        for start in range(0, len(matrix), _BLOCK)
    ]
    return np.round(np.concatenate(parts), _DIGITS) if parts else np.empty(0)


def select_top(scores: Any, times: Any, indexes: Any, k: int, gap: int = 0) -> list[int]:
    """Return the places of the ``k`` best frames, best first; of equal ones the earlier, then lower numbers.

    :param gap: a frame nearer in time than this to a better one that was chosen is passed over, in the unit
        of ``times``.
    """
    import numpy as np

    order = np.lexsort((indexes, times, -scores))
    if gap <= 0:
        return [int(place) for place in order[:k]]
    chosen: list[int] = []
    for place in order:
        if len(chosen) == k:
            break
        if all(abs(times[place] - times[other]) >= gap for other in chosen):
            chosen.append(int(place))
    return chosen


def unite(found: Mapping[int, Sequence[tuple[int, float]]], limit: int) -> list[Chosen]:
    """Return the frames that one of several queries found, at most ``limit``, best first.

    Those go first that a query ranks best; of these, those with a better score; then earlier ones. A frame's
    score is the best that a query gave which found it.

    :param found: by query, place and score of the frames that it found, best first.
    """
    best: dict[int, tuple[int, float, tuple[int, ...]]] = {}
    for query in sorted(found):
        for rank, (place, score) in enumerate(found[query]):
            known = best.get(place, (rank, score, ()))
            best[place] = min(known[0], rank), max(known[1], score), (*known[2], query)
    order = sorted(best, key=lambda place: (best[place][0], -best[place][1], place))[:limit]
    return by_score([Chosen(place, *best[place][1:]) for place in order])


def fuse(scores: Mapping[int, Any], times: Any, indexes: Any, k: int, gap: int = 0) -> list[Chosen]:
    """Return the ``k`` best frames by reciprocal rank over what all queries say of all frames.

    A frame's score is the sum of 1 / (60 + rank). It is found by the queries that have it among their ``k``.

    :param scores: by query, those of all frames.
    """
    import numpy as np

    queries = sorted(scores)
    ranks = np.empty((len(times), len(queries)), dtype=np.int64)
    for column, query in enumerate(queries):
        ranks[np.lexsort((indexes, times, -scores[query])), column] = np.arange(1, len(times) + 1)
    # Sorted, since a sum of floats depends on its order: the same ranks give the same score.
    fused = np.add.reduce(1 / (RANK_CONSTANT + np.sort(ranks, axis=1)), axis=1)
    tops = {query: set(select_top(scores[query], times, indexes, k, gap)) for query in queries}
    return [
        Chosen(place, float(fused[place]), tuple(query for query in queries if place in tops[query]))
        for place in select_top(fused, times, indexes, k, gap)
    ]


def cover(scores: Any, times: Any, indexes: Any, k: int) -> list[int]:
    """Return the best frame of each of ``k`` equal parts of the time, then the best others, ``k`` in all.

    Best first. The parts are of the time from the first frame to the last.
    """
    k = min(k, len(times))
    order = select_top(scores, times, indexes, len(times))
    first, length = int(times.min()), int(times.max() - times.min()) + 1
    best: dict[int, int] = {}
    for place in order:
        best.setdefault((int(times[place]) - first) * k // length, place)
    of_parts = set(best.values())
    others = [place for place in order if place not in of_parts][: k - len(of_parts)]
    chosen = of_parts.union(others)
    return [place for place in order if place in chosen]


def by_score(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Return frames best first; of equal ones the earlier."""
    return sorted(chosen, key=lambda one: (-(one.score or 0.0), one.place))
