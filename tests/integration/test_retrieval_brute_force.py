"""The frames that every arm shows are those of brute force in numpy, through MaxFrame, ties included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from airflow_provider_drivepipe.factory import build_dag
from tests.integration.operator_context import Run
from tests.integration.retrieval_run import Library, Models, library, models

pytestmark = pytest.mark.slow

__all__ = ["library", "models"]

VIDEOS, FRAMES, QUESTIONS = 12, 40, 2
TOP_K, MAX_FRAMES = 5, 8
SECOND = 1000
_EVEN = 12
"""Digits to which scores are the same: far below what tells two scores apart, far above rounding."""

Scores = NDArray[np.float64]
Found = dict[tuple[str, str], list[tuple[int, int, float | None, str | None, bool | None]]]
"""By question and arm, in order of time: frame, rank, score, queries that found it, evidence or not."""


class Video:
    """The frames of a video that have a vector, one a second."""

    def __init__(self, vectors: Sequence[Sequence[float] | None]) -> None:
        self.numbers = [n for n, vector in enumerate(vectors) if vector is not None]
        self.vectors = np.array([vector for vector in vectors if vector is not None])

    def scores(self, query: Sequence[float]) -> Scores:
        lengths = np.linalg.norm(self.vectors, axis=1) * np.linalg.norm(query)
        return np.round(self.vectors @ np.array(query) / lengths, _EVEN)

    def best(self, scores: Scores, count: int, gap: int) -> list[int]:
        """Places of the best frames, best first; of equal ones the earlier."""
        chosen: list[int] = []
        for place in sorted(range(len(scores)), key=lambda place: (-scores[place], place)):
            near = [abs(self.numbers[place] - self.numbers[other]) * SECOND < gap for other in chosen]
            if len(chosen) < count and not any(near):
                chosen.append(place)
        return chosen

    def spread(self, places: Sequence[int]) -> list[int]:
        count = min(TOP_K, len(places))
        return [places[number * len(places) // count] for number in range(count)]


class BruteForce:
    """What the arms show of a question, written without a look at how it is done."""

    def __init__(self, video: Video, queries: Sequence[tuple[int, str, str]], gap: int) -> None:
        self.video = video
        self.scores = {n: video.scores(json.loads(vector)) for n, _, vector in queries}
        self.kinds = {n: kind for n, kind, _ in queries}
        self.tops = {n: video.best(scores, TOP_K, gap) for n, scores in self.scores.items()}
        self.gap = gap

    def union(self, kind: str) -> dict[int, tuple[float, list[int]]]:
        """By place, score and queries."""
        tops = {n: top for n, top in self.tops.items() if self.kinds[n] == kind}
        found = {place for top in tops.values() for place in top}
        by = {place: [n for n, top in tops.items() if place in top] for place in found}
        score = {place: max(self.scores[n][place] for n in by[place]) for place in found}
        rank = {place: min(tops[n].index(place) for n in by[place]) for place in found}
        kept = sorted(found, key=lambda place: (rank[place], -score[place], place))[:MAX_FRAMES]
        return {place: (score[place], by[place]) for place in kept}

    def fused(self) -> dict[int, tuple[float, list[int]]]:
        every = range(len(self.video.numbers))
        orders = [self.video.best(scores, len(every), 0) for scores in self.scores.values()]
        sums = np.round([sum(1 / (61 + order.index(p)) for order in orders) for p in every], _EVEN)
        chosen = self.video.best(sums, TOP_K, self.gap)
        return {place: (sums[place], [n for n, top in self.tops.items() if place in top]) for place in chosen}

    def coverage(self) -> dict[int, tuple[float, list[int]]]:
        [(number, scores)] = [(n, s) for n, s in self.scores.items() if self.kinds[n] == "text"]
        times = [n * SECOND for n in self.video.numbers]
        whole = times[-1] - times[0] + 1
        parts: dict[int, list[int]] = {}
        for place, time in enumerate(times):
            parts.setdefault((time - times[0]) * TOP_K // whole, []).append(place)
        firsts = [min(part, key=lambda place: (-scores[place], place)) for part in parts.values()]
        others = [p for p in self.video.best(scores, len(times), 0) if p not in firsts]
        return {place: (scores[place], [number]) for place in (*firsts, *others)[:TOP_K]}


def ranked(found: dict[int, tuple[float, list[int]]]) -> dict[int, int]:
    order = sorted(found, key=lambda place: (-found[place][0], place))
    return {place: rank for rank, place in enumerate(order, start=1)}


def by_brute_force(
    videos: dict[str, Video], asked: dict[str, tuple[str, int, int]], queries: dict[str, Any], gap: int
) -> Found:
    made: Found = {}
    for question, (name, start, end) in asked.items():
        video, force = videos[name], BruteForce(videos[name], queries[question], gap)
        inside = [start <= number * SECOND <= end for number in video.numbers]
        every = range(len(video.numbers))
        unscored = {
            "uniform": video.spread(every),
            "oracle": video.spread([p for p in every if inside[p]]),
        }
        for arm, places in unscored.items():
            made[question, arm] = [
                (video.numbers[p], rank, None, None, inside[p]) for rank, p in enumerate(places, start=1)
            ]
        scored = {
            "text": force.union("text"),
            "planned_text": force.union("planned_text"),
            "fused": force.fused(),
            "coverage": force.coverage(),
        }
        for arm, found in scored.items():
            ranks = ranked(found)
            made[question, arm] = [
                (video.numbers[p], ranks[p], float(found[p][0]), json.dumps(found[p][1]), inside[p])
                for p in sorted(found)
            ]
    return made


def test_retrieval_is_brute_force(library: Library, models: Models) -> None:
    random = np.random.default_rng(7)

    def vector(ties: bool = True) -> tuple[float, ...]:
        # There are 80 vectors with ties: of 40 frames many are alike, and more are as near.
        drawn = random.integers(-1, 2, 4) if ties else random.normal(size=4)
        return tuple(map(float, drawn)) if any(drawn) else vector()

    made = {f"v{n:02}": [vector(n % 3 > 0) for _ in range(FRAMES - n)] for n in range(VIDEOS)}
    for number, vectors in enumerate(made.values()):
        vectors[number] = None  # type: ignore[call-overload]  # this frame was not embedded
    asked = {}
    for number, name in enumerate(made):
        for question in range(QUESTIONS):
            start = int(random.integers(0, 20))
            asked[f"{name}_{question}"] = (name, start * SECOND, (start + number) * SECOND)
    library.frames(made)
    library.questions(
        *(
            (question, video, f"{question}?", ["a", "b"], "A", "c", start, end)
            for question, (video, start, end) in asked.items()
        )
    )
    models.vector = lambda text: vector()
    models.answer = lambda call: json.dumps(
        {
            "requests": [
                {"reference_image_id": frame, "prompt": f"{call.question} {frame}"}
                for frame in call.frames[:2]
            ]
        }
    )
    arms = ["uniform", "text", "planned_text", "fused", "coverage", "oracle"]
    for gap in (0, 2500):
        options = {"top_k": TOP_K, "max_frames": MAX_FRAMES, "min_gap_ms": gap}
        dag, run = build_dag(library.scenario(arms=arms, **options)), Run(run_id=f"gap{gap}")
        for name in ("questions", "plan", "queries", "query_embeddings", "retrieve"):
            task = dag.get_task(name)
            task.deferrable, task.poll_interval, task.outlets, task.report_of = False, 0.2, [], None
            assert run.execute(task)["failed"] == 0
        queries: dict[str, list[Any]] = {}
        for question, *query in library.rows(
            "query_embeddings", "question_id, query_number, query_kind, query_embedding"
        ):
            queries.setdefault(question, []).append(query)
        assert {len(of_one) for of_one in queries.values()} == {3}
        found: Found = {}
        columns = "question_id, arm, evidence_number, frame_idx, rank, score, found_by, in_evidence"
        rows = library.rows("evidence", columns, "AND status = 'ok'")
        for question, arm, _, *cells in sorted(rows, key=lambda row: (row[0], row[2])):
            score = None if cells[2] is None else round(cells[2], _EVEN)
            found.setdefault((question, arm), []).append((*cells[:2], score, *cells[3:]))
        videos = {name: Video(vectors) for name, vectors in made.items()}
        wanted = by_brute_force(videos, asked, queries, gap)
        assert found == {key: rows for key, rows in wanted.items() if rows}
        assert len(found) > 5 * len(asked)
