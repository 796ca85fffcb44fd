"""Which frames are most like a query, one chunk at a time. Runs in DPE workers: standard library and pandas.

Sums are exact before they are rounded: equal vectors have equal scores on every machine, whatever their place
in a chunk, so that ties are ties.
"""

from __future__ import annotations

import heapq
import json
import math
import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.contracts import Reason, Status
from airflow_provider_drivepipe.worker.answer_rows import response_columns, succeeded
from airflow_provider_drivepipe.worker.answers import Failure, Response, call_failure, embedding_vector, scrub
from airflow_provider_drivepipe.worker.rows import pandas_dtype, text_of

VECTOR = "image_embedding"
LABEL = "label_text"
HIT = "hit"
NO_QUERY = "no_query"
"""Kind of the row that says why there is no vector to compare with: ``note`` is ``<reason> <message>``."""

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Outcome(StrEnum):
    """What became of a frame of the partition."""

    SEARCHED = "searched"
    NOT_OK = "not_ok"
    LEFT_OUT = "left_out"
    """The condition does not hold."""
    NO_VECTOR = "no_vector"
    OTHER_MODEL = "other_model"
    """Its vector was made with another model or dimension, as its fingerprint says."""
    OTHER_LENGTH = "other_length"


@dataclass(frozen=True)
class Comparison:
    """One comparison of a condition.

    :param name: a column, or with ``of_label`` a property of the label, which is a JSON object.
    :param op: ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``in``.
    :param values: what it is compared with; several for ``in`` alone.
    """

    name: str
    of_label: bool
    op: str
    values: tuple[str | float | bool, ...]

    def holds(self, found: object) -> bool:
        """Whether it holds for a value. As in SQL, nothing holds for NULL.

        Of a list it holds when it does for one of the values; ``!=`` when none is equal.
        """
        if found is None:
            return False
        items = found if isinstance(found, list) else [found]
        if self.op == "!=":
            return all(item != self.values[0] for item in items)
        if self.op in ("=", "in"):
            return any(item in self.values for item in items)
        compare = _ORDER[self.op]
        return any(_is_alike(item, self.values[0]) and compare(item, self.values[0]) for item in items)


def _is_alike(one: object, other: object) -> bool:
    return isinstance(one, str) == isinstance(other, str) and isinstance(one, str | int | float)


@dataclass(frozen=True)
class SearchJob:
    """What is searched for.

    :param top: how many frames at most.
    :param dimension: length of the query's vector, None for what the model gives.
    :param hashes: what a fingerprint says of vectors that can be compared with the query's.
    :param where: comparisons that all hold for a frame.
    :param keys: (name, MaxCompute type) of the columns that a hit takes over.
    :param order: those of them that decide between equal scores.
    """

    top: int
    dimension: int | None
    hashes: tuple[str, ...]
    where: tuple[Comparison, ...]
    keys: tuple[tuple[str, str], ...]
    order: tuple[str, ...]

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and MaxCompute type of the columns of :func:`best_frames`."""
        return (("kind", "string"), ("frames", "bigint"), ("note", "string"), ("score", "double"), *self.keys)


def best_frames(rows: Any, job: SearchJob) -> Any:
    """Return the chunk's best frames, and how many frames had which outcome, as rows of ``job.columns``.

    :param rows: frames, a pandas DataFrame; each holds the response to the query too.
    """
    made = _best(rows, job) if len(rows) else []
    import pandas as pd

    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in made], dtype=pandas_dtype(t)) for name, t in job.columns}
    )


def _best(rows: Any, job: SearchJob) -> list[dict[str, Any]]:
    response, success = response_columns(0)
    query = _query_vector(rows[response].iloc[0], rows[success].iloc[0], job.dimension)
    if isinstance(query, Failure):
        return [{"kind": NO_QUERY, "frames": 0, "note": f"{query.reason} {scrub(query.message)}"}]
    length = math.hypot(*query)
    if not length:
        return [{"kind": NO_QUERY, "frames": 0, "note": f"{Reason.MODEL_ERROR} the query's vector is zero"}]
    unit = [value / length for value in query]
    counts = Counter[str]()
    hits = []
    names = [name for name in rows.columns if name not in (response, success)]
    for cells in zip(*(rows[name] for name in names), strict=True):
        row = dict(zip(names, cells, strict=True))
        outcome, score = _score(row, unit, job)
        counts[outcome] += 1
        if score is not None:
            keys = {name: _cell(row[name]) for name, _ in job.keys}
            hits.append({"kind": HIT, "frames": 0, "score": score, **keys})
    best = heapq.nsmallest(job.top, hits, key=lambda hit: _place(hit, job.order))
    return [*best, *({"kind": str(outcome), "frames": n} for outcome, n in counts.items())]


def _query_vector(response: object, success: object, dimension: int | None) -> list[float] | Failure:
    read = Response.of(response)
    if not succeeded(success):
        return call_failure(read)
    vector = embedding_vector(read)
    if not isinstance(vector, Failure) and dimension is not None and len(vector) != dimension:
        return Failure(Reason.DIMENSION_MISMATCH, f"{len(vector)} values, {dimension} wanted")
    return vector


def _score(row: Mapping[str, Any], query: Sequence[float], job: SearchJob) -> tuple[Outcome, float | None]:
    """Return what becomes of a frame, and its score when it is searched."""
    if row["status"] != Status.OK:
        return Outcome.NOT_OK, None
    if not is_chosen(row, job.where):
        return Outcome.LEFT_OUT, None
    text = text_of(row[VECTOR])
    if not text:
        return Outcome.NO_VECTOR, None
    if _vector_hash(text_of(row["fingerprint"])) not in job.hashes:
        return Outcome.OTHER_MODEL, None
    vector = read_vector(text)
    if vector is None:
        return Outcome.NO_VECTOR, None
    if len(vector) != len(query):
        return Outcome.OTHER_LENGTH, None
    return Outcome.SEARCHED, math.fsum(map(operator.mul, query, vector)) / math.hypot(*vector)


def read_vector(text: str) -> list[float] | None:
    """Return a vector from its JSON; None for what is no list of finite numbers, or has no direction."""
    try:
        vector = json.loads(text)
        size = math.fsum(map(abs, vector)) if isinstance(vector, list) else 0
        return vector if size > 0 and math.isfinite(size) else None
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _vector_hash(fingerprint: str) -> str:
    """Return what a fingerprint says of the vector, empty where it says nothing."""
    parts = dict(part.partition("=")[::2] for part in fingerprint.split(";"))
    return parts.get(VECTOR, "")


def is_chosen(row: Mapping[str, Any], where: Sequence[Comparison]) -> bool:
    """Whether all comparisons hold for a row; its label is read where one of them speaks of it."""
    label = _label(row[LABEL]) if any(each.of_label for each in where) else {}
    return all(each.holds(label.get(each.name) if each.of_label else _cell(row[each.name])) for each in where)


def _label(cell: object) -> Mapping[str, Any]:
    try:
        label = json.loads(text_of(cell))
    except (ValueError, RecursionError):
        return {}
    return label if isinstance(label, dict) else {}


def _cell(cell: Any) -> Any:
    """Return a cell as Python has it, None for NULL."""
    import pandas as pd

    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None
    return cell.item() if hasattr(cell, "item") else cell


def _place(hit: Mapping[str, Any], order: Sequence[str]) -> tuple[Any, ...]:
    """Return what hits are sorted by: the best score first, then by the columns of the order, NULL first."""
    cells = (hit[name] for name in order)
    return (-hit["score"], *((False, 0) if cell is None else (True, cell) for cell in cells))
