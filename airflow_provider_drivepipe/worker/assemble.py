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
    answer_text,
    call_failure,
    embedding_vector,
    is_refusal,
    no_answer,
    scrub,
    was_cut_off,
)
from airflow_provider_drivepipe.worker.label_check import compact, find_label, violation

OK, FAILED, FILTERED, SKIPPED = "ok", "failed", "filtered", "skipped"
LABEL, IMAGE_EMBEDDING = "label", "image_embedding"

_NOT_TRIED = (FAILED, FILTERED, SKIPPED)
_SHOWN = 200
_LABEL_DTYPES = {
    "label_text": "object",
    "label_json_valid": "boolean",
    "label_input_token": "Int64",
    "label_output_token": "Int64",
    "label_response": "object",
}
_EMBEDDING_DTYPES = {"image_embedding": "object", "image_embedding_total_token": "Int64"}
_STATUS_DTYPES = {
    "status": "object",
    "error_stage": "object",
    "error_type": "object",
    "error_msg": "object",
    "attempt": "Int64",
    "fingerprint": "object",
}
_FRAME_INTEGERS = ("frame_idx", "frame_time_ms", "width", "height")


@dataclass(frozen=True)
class AssembleJob:
    """What one call of :func:`assemble` makes.

    ``columns`` are the final columns in order; ``label_schema`` is a JSON Schema (a dict) or None;
    ``dimension`` is the wanted length of embeddings or None.
    """

    columns: tuple[str, ...]
    labels: bool
    embedding: bool
    label_schema: dict[str, Any] | None = None
    keep_raw_response: bool = False
    dimension: int | None = None


def assemble(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of ``rows``, a pandas DataFrame with raw response columns.

    A row fails at the first stage that failed it; whatever the other stage brought stays. A row that is not
    ok when it comes keeps its status, and its model columns are NULL.
    """
    return _final_rows(rows, job, [_model_cells(row, job) for row in rows.to_dict("records")])


def passthrough(rows: Any, job: AssembleJob) -> Any:
    """Return final rows of rows that reached no model: their model columns are NULL."""
    return _final_rows(rows, job, [{}] * len(rows))


def assemble_dtypes(job: AssembleJob, input_dtypes: dict[str, Any]) -> dict[str, Any]:
    """Return the dtype of each final column; NULL stays NULL in every one of them."""
    own = {**_model_dtypes(job), **_STATUS_DTYPES}
    return {name: own.get(name) or _taken_dtype(name, input_dtypes.get(name)) for name in job.columns}


def _model_dtypes(job: AssembleJob) -> dict[str, str]:
    """Return the columns that this job makes; ones of the same names may come from the input otherwise."""
    return {**(_LABEL_DTYPES if job.labels else {}), **(_EMBEDDING_DTYPES if job.embedding else {})}


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
        found, failure = _label(row, job)
        cells.update(found)
        failures += [(LABEL, failure)] if failure else []
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


def _succeeded(row: dict[str, Any], name: str) -> bool:
    """A NULL success, as a call that never came back leaves it, is none."""
    value = row.get(name)
    return str(value).lower() in ("true", "1", "1.0")


def _not_an_object(response: Response) -> Failure:
    return Failure("model_error", f"the response is not a JSON object: {response.text[:_SHOWN]}")


def _label(row: dict[str, Any], job: AssembleJob) -> tuple[dict[str, Any], Failure | None]:
    """Return the label columns, and why the label cannot be used, if so."""
    response = Response.of(row.get("label_response"))
    found: dict[str, Any] = {
        "label_text": None,
        "label_json_valid": None if job.label_schema is None else False,
        "label_input_token": response.tokens("prompt_tokens", "input_tokens"),
        "label_output_token": response.tokens("completion_tokens", "output_tokens"),
        "label_response": response.text or None,
    }
    if not _succeeded(row, "label_success"):
        # An error may quote the request, with its signed URLs; an answer cannot.
        found["label_response"] = scrub(response.text) or None
        return found, call_failure(response)
    if response.content is None:
        return found, _not_an_object(response)
    answer = answer_text(response)
    if not answer.strip():
        return found, no_answer(response)
    found["label_text"] = answer
    if job.label_schema is None:
        return found, Failure("refusal", answer) if is_refusal(answer) else None
    label = find_label(answer, job.label_schema)
    if label is None:
        return found, _no_label(response, answer)
    found["label_text"] = compact(label)
    problem = violation(label, job.label_schema)
    found["label_json_valid"] = not problem
    return found, Failure("schema_violation", problem) if problem else None


def _no_label(response: Response, answer: str) -> Failure:
    if is_refusal(answer):
        return Failure("refusal", answer)
    if was_cut_off(response):
        return Failure("invalid_json", f"the answer was cut off at the token limit: {answer[:_SHOWN]}")
    return Failure("invalid_json", f"no JSON object in the answer: {answer[:_SHOWN]}")


def _embedding(row: dict[str, Any], job: AssembleJob) -> tuple[dict[str, Any], Failure | None]:
    """Return the embedding columns, and why the embedding cannot be used, if so."""
    response = Response.of(row.get("embedding_response"))
    found: dict[str, Any] = {
        "image_embedding": None,
        "image_embedding_total_token": response.tokens("total_tokens", "input_tokens", "prompt_tokens"),
    }
    if not _succeeded(row, "embedding_success"):
        return found, call_failure(response)
    if response.content is None:
        return found, _not_an_object(response)
    vector = embedding_vector(response)
    if isinstance(vector, Failure):
        return found, vector
    if job.dimension is not None and len(vector) != job.dimension:
        return found, Failure("dimension_mismatch", f"{len(vector)} values, {job.dimension} wanted")
    found["image_embedding"] = json.dumps(vector)
    return found, None
