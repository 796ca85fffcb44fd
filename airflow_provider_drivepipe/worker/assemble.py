"""Turns raw model responses into final rows. Runs in DPE workers: standard library and pandas only.

The literals below repeat ``contracts.py``, which workers do not have; a test keeps them equal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.worker.answers import (
    Failure,
    Response,
    call_failure,
    embedding_vector,
    not_an_object,
    scrub,
)
from airflow_provider_drivepipe.worker.label_rows import (
    REPAIR_TEXT,
    LabelJob,
    label_of,
    repair_request,
    response_columns,
    succeeded,
)

OK, FAILED, FILTERED, SKIPPED = "ok", "failed", "filtered", "skipped"
LABEL, IMAGE_EMBEDDING = "label", "image_embedding"

_NOT_TRIED = (FAILED, FILTERED, SKIPPED)
_LABEL_DTYPES = {
    "label_text": "object",
    "label_json_valid": "boolean",
    "label_normalised": "Int64",
    "label_input_token": "Int64",
    "label_output_token": "Int64",
    "label_response": "object",
}
_EMBEDDING_DTYPES = {"image_embedding": "object", "image_embedding_total_token": "Int64"}
_LABEL_EMBEDDING_DTYPES = {"label_embedding": "object", "label_embedding_total_token": "Int64"}
_STATUS_DTYPES = {
    "status": "object",
    "error_stage": "object",
    "error_type": "object",
    "error_msg": "object",
    "attempt": "Int64",
    "fingerprint": "object",
}
_DTYPES = {"string": "object", "boolean": "boolean", "bigint": "Int64", "double": "Float64"}
_FRAME_INTEGERS = ("frame_idx", "frame_time_ms", "width", "height")


@dataclass(frozen=True)
class AssembleJob:
    """What one call of :func:`assemble` makes.

    ``columns`` are the final columns in order; ``label_schema`` is a JSON Schema (a dict) or None;
    ``dimension`` is the wanted length of embeddings or None. For the rest see :class:`LabelJob`.
    """

    columns: tuple[str, ...]
    labels: bool
    embedding: bool
    label_schema: dict[str, Any] | None = None
    keep_raw_response: bool = False
    dimension: int | None = None
    repair_rounds: int = 0
    repair_in_chinese: bool = False
    label_fields: tuple[tuple[str, str, str], ...] = ()
    label_embedding: bool = False

    @property
    def label(self) -> LabelJob:
        """How labels are read; without a schema there is nothing to repair."""
        rounds = self.repair_rounds if self.label_schema is not None else 0
        return LabelJob(self.label_schema, rounds, self.repair_in_chinese, self.label_fields)


def assemble(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of ``rows``, a pandas DataFrame with raw response columns.

    A row fails at the first stage that failed it; whatever the other stage brought stays. A row that is not
    ok when it comes keeps its status, and its model columns are NULL.
    """
    return _final_rows(rows, job, [_model_cells(row, job) for row in rows.to_dict("records")])


def passthrough(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of rows that reached no model: their model columns are NULL."""
    return _final_rows(rows, job, [{}] * len(rows))


def not_tried(rows: Any, job: AssembleJob, stage: str, reason: str, message: str) -> Any:
    """Return final rows of rows that were to go to ``stage`` and were not sent: skipped, tried zero times."""
    cells = {
        "status": SKIPPED,
        "error_stage": stage,
        "error_type": reason,
        "error_msg": message,
        "attempt": 0,
    }
    return _final_rows(rows, job, [cells] * len(rows))


def mark_repairs(rows: Any, job: AssembleJob, number: int) -> Any:
    """Return ``rows`` with what repair ``number`` asks, and with empty columns for its answers.

    ``REPAIR_TEXT`` is empty for rows that need no repair.
    """
    import pandas as pd

    texts = [_repair_text(row, job, number) for row in rows.to_dict("records")]
    response, success = response_columns(number)
    added = {
        REPAIR_TEXT: pd.Series(texts, index=rows.index, dtype="object"),
        response: pd.Series([None] * len(rows), index=rows.index, dtype="string"),
        success: pd.Series([False] * len(rows), index=rows.index, dtype="bool"),
    }
    kept = {name: rows[name] for name in rows if name not in added}
    return pd.DataFrame({**kept, **added}, index=rows.index)


def repair_dtypes(input_dtypes: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the dtypes of what :func:`mark_repairs` returns."""
    response, success = response_columns(number)
    added = {REPAIR_TEXT: "object", response: "string", success: "bool"}
    return {**{k: v for k, v in input_dtypes.items() if k not in added}, **added}


def _repair_text(row: dict[str, Any], job: AssembleJob, number: int) -> str:
    return "" if row.get("status") in _NOT_TRIED else repair_request(row, job.label, number)


def assemble_dtypes(job: AssembleJob, input_dtypes: dict[str, Any]) -> dict[str, Any]:
    """Return the dtype of each final column; NULL stays NULL in every one of them."""
    own = {**_model_dtypes(job), **_STATUS_DTYPES}
    return {name: own.get(name) or _taken_dtype(name, input_dtypes.get(name)) for name in job.columns}


def _model_dtypes(job: AssembleJob) -> dict[str, str]:
    """Return the columns that this job makes; ones of the same names may come from the input otherwise."""
    flat = {column: _DTYPES[type_] for _, column, type_ in job.label_fields}
    return {
        **({**_LABEL_DTYPES, **flat} if job.labels else {}),
        **(_EMBEDDING_DTYPES if job.embedding else {}),
        **(_LABEL_EMBEDDING_DTYPES if job.label_embedding else {}),
    }


def _taken_dtype(name: str, dtype: Any) -> Any:
    """Return the type of a column that is taken over; frame columns may hold NULL where videos failed."""
    from pandas.api.types import is_numeric_dtype

    if name in _FRAME_INTEGERS and (dtype is None or is_numeric_dtype(dtype)):
        return "Int64"
    return "object" if dtype is None else dtype


def _final_rows(rows: Any, job: AssembleJob, cells: list[dict[str, Any]]) -> Any:
    """Return ``rows`` with model columns from ``cells``, which may replace status columns too.

    Other columns are taken over as they are, not rebuilt, so that integers with NULLs stay integers.
    """
    import pandas as pd

    model_dtypes = _model_dtypes(job)
    # Labels of rows may repeat after chunks were put together; rows belong together by their place.
    index, rows = rows.index, rows.reset_index(drop=True)
    final = {}
    for name in job.columns:
        dtype: Any = model_dtypes.get(name) or _STATUS_DTYPES.get(name)
        if dtype is None and name in rows:
            final[name] = rows[name].astype(_taken_dtype(name, rows[name].dtype))
            continue
        old = rows[name] if name in rows and name not in model_dtypes else [None] * len(rows)
        values = [_none(new.get(name, kept)) for new, kept in zip(cells, old, strict=True)]
        final[name] = pd.Series(values, dtype=dtype or "object")
    return pd.DataFrame(final, columns=list(job.columns)).set_axis(index, axis=0)


def _none(value: Any) -> Any:
    """pandas hands NULL over as NaN or NA; a row holds None."""
    return None if value is None or type(value).__name__ == "NAType" or value != value else value


def _model_cells(row: dict[str, Any], job: AssembleJob) -> dict[str, Any]:
    if row.get("status") in _NOT_TRIED:
        return {}
    cells: dict[str, Any] = {"status": OK, "error_stage": "", "error_type": "", "error_msg": ""}
    failures: list[tuple[str, Failure]] = []
    if job.labels:
        label = label_of(row, job.label)
        cells.update(label.cells)
        failures += [(LABEL, label.failure)] if label.failure else []
    if job.embedding:
        found, failure = _embedding(row, job)
        cells.update(found)
        failures += [(IMAGE_EMBEDDING, failure)] if failure else []
    if failures:
        stage, failure = failures[0]
        cells.update(
            status=FAILED, error_stage=stage, error_type=failure.reason, error_msg=scrub(failure.message)
        )
    return cells


def _embedding(row: dict[str, Any], job: AssembleJob) -> tuple[dict[str, Any], Failure | None]:
    """Return the embedding columns, and why the embedding cannot be used, if so."""
    response = Response.of(row.get("embedding_response"))
    found: dict[str, Any] = {
        "image_embedding": None,
        "image_embedding_total_token": response.tokens("total_tokens", "input_tokens", "prompt_tokens"),
    }
    if not succeeded(row.get("embedding_success")):
        return found, call_failure(response)
    if response.content is None:
        return found, not_an_object(response)
    vector = embedding_vector(response)
    if isinstance(vector, Failure):
        return found, vector
    if job.dimension is not None and len(vector) != job.dimension:
        return found, Failure("dimension_mismatch", f"{len(vector)} values, {job.dimension} wanted")
    found["image_embedding"] = json.dumps(vector)
    return found, None
