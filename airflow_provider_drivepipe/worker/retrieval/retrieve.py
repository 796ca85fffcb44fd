"""Which frames of its video every arm of a question shows. Runs in DPE workers: stdlib, numpy and pandas.

A question meets the frames of its own video only. A video's vectors are parsed once and shared by its
questions; at a time there is one video's matrix, 8 bytes per float (8 KB for a frame of 1,024 floats; twice
while it is made), beside the rows that came in, whose JSON text is about 20 bytes per float. Scores are
cosines in double precision, as :mod:`~airflow_provider_drivepipe.worker.retrieval.choose` computes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason, Status
from airflow_provider_drivepipe.worker.reasoning.clock import clock_text
from airflow_provider_drivepipe.worker.retrieval.choose import (
    Chosen,
    by_score,
    cosines,
    cover,
    fuse,
    select_top,
    unit_vectors,
    unite,
)
from airflow_provider_drivepipe.worker.retrieval.frames import spread
from airflow_provider_drivepipe.worker.retrieval.queries import PLANNED_IMAGE, PLANNED_TEXT, TEXT
from airflow_provider_drivepipe.worker.rows import (
    OK_CELLS,
    failed_cells,
    start_rows,
    text_of,
    unit_dtypes,
    with_lineage,
)

STAGE = "retrieve"
BLIND, UNIFORM, FUSED, COVERAGE, ORACLE = "blind", "uniform", "fused", "coverage", "oracle"
ARMS = (BLIND, UNIFORM, TEXT, PLANNED_TEXT, PLANNED_IMAGE, FUSED, COVERAGE, ORACLE)
ROW_KIND = "drivepipe_kind"
"""Column that says what a row of a group is: ``frame`` or ``question``."""
FRAME_ROW, QUESTION_ROW = "frame", "question"
FRAME_COLUMNS = ("frame_idx", "frame_time_ms", "image_id", "image_url", "image_embedding")
"""What is read of a frame, beside the key of its video."""
QUERY_KINDS: Mapping[str, tuple[str, ...]] = {
    TEXT: (TEXT,),
    PLANNED_TEXT: (PLANNED_TEXT,),
    PLANNED_IMAGE: (PLANNED_IMAGE,),
    FUSED: (TEXT, PLANNED_TEXT, PLANNED_IMAGE),
    COVERAGE: (TEXT,),
}
"""By arm, the kinds of queries that it looks for frames with; other arms need none."""
EVIDENCE_COLUMNS: tuple[Column, ...] = (
    Column("evidence_number", "bigint", "0-based place among the rows of the question"),
    Column("arm", "string", "how the frame was chosen"),
    Column("frame_idx", "bigint", "0-based index of the frame within the video, NULL without a frame"),
    Column("frame_time_ms", "bigint", "its time on the video's own clock, in milliseconds"),
    Column("frame_clock", "string", "its time as a clock shows it, MM:SS.s"),
    Column("image_id", "string", "<video basename>_<frame_idx>, for people"),
    Column("image_url", "string", "full OSS URI of its image"),
    Column(
        "rank",
        "bigint",
        "1-based place by score within the arm, by time where nothing is scored; 0 without a frame",
    ),
    Column(
        "score", "double", "cosine with the query, of fused the sum of 1 / (60 + rank), NULL where not scored"
    ),
    Column(
        "found_by", "string", "JSON list of the numbers of the queries that found it, NULL where not scored"
    ),
    Column("in_evidence", "boolean", "whether it is in the annotated evidence, NULL without one"),
    Column("frames_left_out", "bigint", "frames of the video whose vector cannot be used"),
)


@dataclass(frozen=True)
class RetrieveJob:
    """What one call of :func:`retrieve` makes.

    :param arms: some of ``ARMS``, in order.
    :param video_key: column that tells videos apart.
    :param lineage: columns of questions that travel through, none of those that it makes.
    :param top_k: most frames that a query finds, and that an arm without a union shows.
    :param max_frames: most frames that an arm with several queries shows.
    :param min_gap_ms: frames nearer in time to a better one are passed over; 0 for none. Not by ``coverage``,
        which spreads frames itself, and not in videos with unknown times.
    """

    arms: tuple[str, ...]
    video_key: str
    lineage: tuple[str, ...]
    top_k: int = 8
    max_frames: int = 16
    min_gap_ms: int = 0

    def check(self) -> None:
        """Raise ValueError for a job that no question can be answered with."""
        if not self.arms or not set(self.arms) <= set(ARMS) or min(self.top_k, self.max_frames) < 1:
            raise ValueError(f"arms are some of {', '.join(ARMS)}, and show at least 1 frame")


@dataclass(frozen=True)
class _Video:
    """The frames of a video in order of time, with unit vectors.

    :param times: in milliseconds; places in the order of frames where a time is unknown.
    :param timed: whether times are known.
    :param left_out: by what is wrong with their vectors, how many frames are left out.
    """

    frames: Sequence[Mapping[str, Any]]
    matrix: Any
    times: Any
    indexes: Any
    timed: bool
    left_out: Mapping[str, int]

    def part(self, start_ms: int, end_ms: int) -> list[int]:
        """Return the places of the frames in a part of the video."""
        if not self.timed:
            return []
        return [place for place, time in enumerate(self.times) if start_ms <= time <= end_ms]


@dataclass(frozen=True)
class _Empty:
    """Why an arm shows no frame."""

    reason: Reason
    message: str
    status: Status = Status.FAILED


@dataclass(frozen=True)
class _Query:
    kind: str
    vector: Any


@dataclass
class _Question:
    """A question, its queries with vectors by number, and what they say of the frames, once it is known."""

    row: Mapping[str, Any]
    queries: Mapping[int, _Query]
    scores: dict[int, Any] = field(default_factory=dict)
    evidence: tuple[int, int] | None = None


def retrieve(group: Any, job: RetrieveJob) -> Any:
    """Return the evidence of all arms of all questions of a group, each a row; no arm is without one.

    :param group: a pandas DataFrame with all rows of one video or more. Rows whose ``ROW_KIND`` is
        ``frame`` have the video's key, ``frame_idx``, ``frame_time_ms``, ``image_id``, ``image_url`` and
        ``image_embedding``, a JSON list. Rows with ``question`` have the video's key, ``queries`` (a line
        ``query_number|query_kind|vector JSON`` for each), ``evidence_start_ms`` and ``evidence_end_ms``.

    A frame whose vector cannot be read, or is of another length than the question's queries, is left out of
    all arms, and counted in ``frames_left_out``. Where no query says the length, that of most frames counts.
    A question whose video has no frame left fails in all arms but ``blind`` with ``no_frames``. An arm
    without a query that can be used fails with ``no_query``; ``oracle`` is ``filtered`` with ``no_evidence``
    where nothing is annotated, or no frame is there. Rows of an arm are in order of time.

    Raises ValueError for a job that cannot be done, KeyError for a group without one of the columns.
    """
    job.check()
    keys = [text_of(key) for key in group[job.video_key]]
    kinds = list(group[ROW_KIND])
    places: dict[str, dict[str, list[int]]] = {}
    for place, (key, kind) in enumerate(zip(keys, kinds, strict=True)):
        places.setdefault(key, {FRAME_ROW: [], QUESTION_ROW: []})[kind].append(place)
    made: dict[int, list[dict[str, Any]]] = {}
    for of_video in places.values():
        if of_video[QUESTION_ROW]:
            made |= _of_video(group, of_video[FRAME_ROW], of_video[QUESTION_ROW], job)
    sources = [place for place in sorted(made) for _ in made[place]]
    rows = [row for place in sorted(made) for row in made[place]]
    return with_lineage(group, rows, sources, job.lineage, EVIDENCE_COLUMNS)


def tagged(rows: Any, kind: str, columns: Mapping[str, Any]) -> Any:
    """Return frames or questions (a pandas DataFrame) as rows of a group.

    :param kind: ``FRAME_ROW`` or ``QUESTION_ROW``.
    :param columns: see :func:`group_dtypes`; what these rows do not have is NULL.
    """
    return start_rows(rows, columns, ()).assign(**{ROW_KIND: kind})


def group_dtypes(frames: Mapping[str, Any], questions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column of a group, from those of frames and of questions; all can be NULL."""
    nullable = {"int64": "Int64", "bool": "boolean"}
    both = {**frames, **questions, ROW_KIND: "object"}
    return {name: nullable.get(str(dtype), dtype) for name, dtype in both.items()}


def evidence_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`retrieve` gives, from those of lineage."""
    return unit_dtypes(EVIDENCE_COLUMNS, lineage_dtypes)


def _of_video(
    group: Any, frames: Sequence[int], questions: Sequence[int], job: RetrieveJob
) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of a video's questions, by the question's place in the group."""
    names = list(FRAME_COLUMNS)
    records = group.iloc[questions].to_dict("records")
    asked = {place: _question(row) for place, row in zip(questions, records, strict=True)}
    lengths = Counter(len(query.vector) for one in asked.values() for query in one.queries.values())
    video = _video(group[names].iloc[frames].to_dict("records"), _most(lengths))
    return {place: list(_rows(one, video, job)) for place, one in asked.items()}


def _question(row: Mapping[str, Any]) -> _Question:
    queries: dict[int, _Query] = {}
    for line in filter(None, text_of(row.get("queries")).split("\n")):
        number, kind, text = line.split("|", 2)
        vector = _vector(text)
        if vector is not None:
            queries[int(number)] = _Query(kind, vector)
    start, end = text_of(row["evidence_start_ms"]), text_of(row["evidence_end_ms"])
    evidence = (int(float(start)), int(float(end))) if start and end else None
    return _Question(row, dict(sorted(queries.items())), evidence=evidence)


def _video(records: Sequence[Mapping[str, Any]], length: int | None) -> _Video:
    """Return the frames of a video whose vectors have a length, None for that of most of them."""
    import numpy as np

    timed = all(text_of(record["frame_time_ms"]) for record in records)
    frames = {int(record["frame_idx"]): record for record in records}
    ordered = sorted(frames, key=lambda index: (int(frames[index]["frame_time_ms"]) if timed else 0, index))
    vectors = {index: _vector(text_of(frames[index]["image_embedding"])) for index in ordered}
    length = length or _most(Counter(len(vector) for vector in vectors.values() if vector is not None))
    kept: list[int] = []
    left_out: Counter[str] = Counter()
    for index, vector in vectors.items():
        if vector is not None and len(vector) == length:
            kept.append(index)
        else:
            left_out["unreadable" if vector is None else f"of {len(vector)} floats, not {length}"] += 1
    matrix = np.array([vectors[index] for index in kept]).reshape(len(kept), length or 0)
    times = [int(frames[index]["frame_time_ms"]) for index in kept] if timed else range(len(kept))
    return _Video(
        [frames[index] for index in kept],
        unit_vectors(matrix),
        np.array(times, dtype=np.int64),
        np.array(kept, dtype=np.int64),
        timed,
        left_out,
    )


def _vector(text: str) -> Any:
    """Return a vector that has a direction as a numpy array, None for any other text."""
    import numpy as np

    try:
        numbers = np.array(json.loads(text), dtype=np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    with np.errstate(over="ignore"):
        usable = numbers.ndim == 1 and 0 < np.add.reduce(numbers * numbers) < np.inf
    return numbers if usable else None


def _most(lengths: Counter[int]) -> int | None:
    """Return the length that most vectors have, of two the longer; None without any."""
    return max(lengths, key=lambda length: (lengths[length], length)) if lengths else None


def _rows(question: _Question, video: _Video, job: RetrieveJob) -> Iterator[dict[str, Any]]:
    """Yield the rows of a question's arms."""
    status = {"attempt": question.row.get("attempt"), "fingerprint": question.row.get("fingerprint")}
    same = {"frames_left_out": sum(video.left_out.values()), **status}
    number = 0
    for arm in job.arms:
        for cells in _arm_rows(arm, question, video, job):
            yield {"evidence_number": number, "arm": arm, **same, **cells}
            number += 1


def _arm_rows(arm: str, question: _Question, video: _Video, job: RetrieveJob) -> Iterator[dict[str, Any]]:
    if arm == BLIND:
        yield {"rank": 0, **OK_CELLS}
        return
    chosen = _chosen(arm, question, video, job)
    if isinstance(chosen, _Empty):
        yield {"rank": 0, **failed_cells(STAGE, chosen.reason, chosen.message, chosen.status)}
        return
    ranks = {one.place: rank for rank, one in enumerate(chosen, start=1)}
    for one in sorted(chosen, key=lambda one: one.place):
        frame = video.frames[one.place]
        time = int(video.times[one.place]) if video.timed else None
        inside = None
        if question.evidence is not None and time is not None:
            inside = question.evidence[0] <= time <= question.evidence[1]
        yield {
            "frame_idx": int(video.indexes[one.place]),
            "frame_time_ms": time,
            "frame_clock": clock_text(time),
            "image_id": frame["image_id"],
            "image_url": frame["image_url"],
            "rank": ranks[one.place],
            "score": one.score,
            "found_by": None if one.score is None else json.dumps(one.found_by),
            "in_evidence": inside,
            **OK_CELLS,
        }


def _chosen(arm: str, question: _Question, video: _Video, job: RetrieveJob) -> list[Chosen] | _Empty:
    """Return the frames of an arm, best first, by time where nothing is scored."""
    count = len(video.frames)
    if not count:
        wrong = ", ".join(f"{number} {what}" for what, number in sorted(video.left_out.items()))
        return _Empty(
            Reason.NO_FRAMES,
            f"no frame of the video has a vector that can be used: {wrong or 'there is none'}",
        )
    if arm == UNIFORM:
        return [Chosen(place) for place in spread(count, job.top_k)]
    if arm == ORACLE:
        return _annotated(question, video, job)
    scores = _scores(arm, question, video)
    if not scores:
        return _Empty(
            Reason.NO_QUERY,
            f"the question has no query of kind {' or '.join(QUERY_KINDS[arm])} whose vector can be used; "
            "see its rows in the tables of plans and of query embeddings",
        )
    gap = job.min_gap_ms if video.timed else 0
    times, indexes = video.times, video.indexes
    if arm == FUSED:
        return fuse(scores, times, indexes, job.top_k, gap)
    if arm == COVERAGE:
        number, of_query = next(iter(scores.items()))
        places = cover(of_query, times, indexes, job.top_k)
        return by_score([Chosen(place, float(of_query[place]), (number,)) for place in places])
    found = {
        number: [
            (place, float(of_query[place])) for place in select_top(of_query, times, indexes, job.top_k, gap)
        ]
        for number, of_query in scores.items()
    }
    return unite(found, job.max_frames)


def _annotated(question: _Question, video: _Video, job: RetrieveJob) -> list[Chosen] | _Empty:
    if question.evidence is None:
        message = "the question has no evidence_start_ms and evidence_end_ms"
        return _Empty(Reason.NO_EVIDENCE, message, Status.FILTERED)
    start_ms, end_ms = question.evidence
    places = video.part(start_ms, end_ms)
    if not places:
        message = f"no frame is between {start_ms} and {end_ms} ms"
        return _Empty(Reason.NO_EVIDENCE, message, Status.FILTERED)
    return [Chosen(places[at]) for at in spread(len(places), job.top_k)]


def _scores(arm: str, question: _Question, video: _Video) -> dict[int, Any]:
    """Return by query of the arm the scores of all frames, computed once for all arms."""
    found = {}
    for number, query in question.queries.items():
        if query.kind not in QUERY_KINDS[arm] or len(query.vector) != video.matrix.shape[1]:
            continue
        if number not in question.scores:
            question.scores[number] = cosines(video.matrix, unit_vectors(query.vector[None, :])[0])
        found[number] = question.scores[number]
    return found
