"""Labels as input of a text model, and its answers as columns. Runs in DPE workers: stdlib, pandas only."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_drivepipe.worker.answers import (
    Failure,
    Response,
    call_failure,
    embedding_vector,
    not_an_object,
    scrub,
)
from airflow_provider_drivepipe.worker.label_rows import succeeded

EMBED_TEXT = "drivepipe_embed_text"
"""Column with the text that is sent; empty where there is nothing to send."""
VECTOR_RESPONSE, VECTOR_SUCCESS = "drivepipe_vector_response", "drivepipe_vector_success"

STAGE = "label_embedding"
_OTHER_EMBEDDING = "image_embedding"
_OWN = ("label_embedding", "label_embedding_total_token", "status", "error_stage", "error_type", "error_msg")


def mark_label_texts(rows: Any) -> Any:
    """Return ``rows`` (final rows, a pandas DataFrame) with ``EMBED_TEXT``; a row without a label fails.

    Sent are labels of rows that are ok, and of those where nothing but the image's embedding failed.
    """
    import pandas as pd

    texts, cells = [], []
    for row in rows.to_dict("records"):
        ok = row["status"] == "ok"
        usable = ok or (row["status"] == "failed" and row["error_stage"] == _OTHER_EMBEDDING)
        label = row["label_text"]
        text = label if usable and isinstance(label, str) and label.strip() else ""
        texts.append(text)
        no_label = Failure("no_label", "there is no label text to embed")
        cells.append(_failed(no_label) if ok and not text else {})
    marked = _with_cells(rows, cells)
    return marked.assign(**{EMBED_TEXT: pd.Series(texts, index=rows.index, dtype="object")})


def add_label_vectors(rows: Any, dimension: int | None) -> Any:
    """Return ``rows`` with the vectors of their raw answers, without the columns of these.

    What another stage failed stays so; the vector is kept nevertheless.
    """
    cells = [_cells(row, dimension) for row in rows.to_dict("records")]
    return _with_cells(rows.drop(columns=[EMBED_TEXT, VECTOR_RESPONSE, VECTOR_SUCCESS]), cells)


def _cells(row: dict[str, Any], dimension: int | None) -> dict[str, Any]:
    response = Response.of(row.get(VECTOR_RESPONSE))
    tokens = response.tokens("total_tokens", "input_tokens", "prompt_tokens")
    vector = _vector(row, response, dimension)
    if not isinstance(vector, Failure):
        return {"label_embedding": json.dumps(vector), "label_embedding_total_token": tokens}
    failed = _failed(vector) if row["status"] == "ok" else {}
    return {"label_embedding_total_token": tokens, **failed}


def _vector(row: dict[str, Any], response: Response, dimension: int | None) -> list[float] | Failure:
    if not succeeded(row.get(VECTOR_SUCCESS)):
        return call_failure(response)
    if response.content is None:
        return not_an_object(response)
    vector = embedding_vector(response)
    if not isinstance(vector, Failure) and dimension is not None and len(vector) != dimension:
        return Failure("dimension_mismatch", f"{len(vector)} values, {dimension} wanted")
    return vector


def _failed(failure: Failure) -> dict[str, Any]:
    return {
        "status": "failed",
        "error_stage": STAGE,
        "error_type": failure.reason,
        "error_msg": scrub(failure.message),
    }


def _with_cells(rows: Any, cells: list[dict[str, Any]]) -> Any:
    """Return ``rows`` with single values replaced; the columns keep their types, and so does the index."""
    import pandas as pd

    replaced = {}
    for name in _OWN:
        old = rows[name].to_numpy(dtype=object, na_value=None)
        values = [new.get(name, kept) for new, kept in zip(cells, old, strict=True)]
        replaced[name] = pd.Series(values, index=rows.index, dtype=rows[name].dtype)
    return rows.assign(**replaced)
