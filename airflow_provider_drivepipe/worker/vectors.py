"""Vectors of images and texts: what text is sent, and what becomes of the answers. Runs in DPE workers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.answer_rows import response_columns, succeeded
from airflow_provider_drivepipe.worker.answers import (
    Failure,
    Response,
    call_failure,
    embedding_vector,
    not_an_object,
)
from airflow_provider_drivepipe.worker.rows import Result, RowPart, text_of, with_request, with_results

EMBED_TEXT = "drivepipe_embed_text"
"""Column with the text that is sent; empty where there is nothing to send."""
EMBED_IMAGE = "drivepipe_embed_image"
"""Column with the URI of the image that is sent instead of a text; empty where a text is."""


@dataclass(frozen=True)
class VectorJob:
    """How vectors are read.

    :param part: what they become; its result is the column with the vector.
    :param tokens: column with the tokens.
    :param dimension: wanted length, or None.
    :param text: column with the text that is embedded; None for images alone.
    :param image: column with the URI of the image that is embedded, NULL where a text is; None for texts.
    :param lacking: reason of a row that has nothing to embed.
    """

    part: RowPart
    tokens: str
    dimension: int | None
    text: str | None
    image: str | None
    lacking: str

    def image_of(self, row: Mapping[str, Any]) -> str:
        """Return the URI of the image of a row, empty where its text is embedded."""
        return text_of(row[self.image]) if self.image else ""

    def text_of(self, row: Mapping[str, Any]) -> str:
        """Return the text of a row, empty for NULL and blanks, and where an image is embedded."""
        text = text_of(row[self.text]) if self.text else ""
        return text if text.strip() and not self.image_of(row) else ""


def mark_texts(rows: Any, job: VectorJob) -> Any:
    """Return ``rows`` with the texts to embed in ``EMBED_TEXT``.

    For the columns that wait for their vectors see :func:`with_request`.
    """
    texts = [job.text_of(row) for row in rows.to_dict("records")]
    return with_request(rows, texts, EMBED_TEXT, *response_columns(0))


def mark_images(rows: Any, job: VectorJob) -> Any:
    """Return ``rows`` with the URIs of the images to embed in ``EMBED_IMAGE``, see :func:`mark_texts`."""
    images = [job.image_of(row) for row in rows.to_dict("records")]
    return with_request(rows, images, EMBED_IMAGE, *response_columns(1))


def read_vectors(rows: Any, job: VectorJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` with the vectors of their raw columns."""
    results = [_result(row, job) for row in rows.to_dict("records")]
    return with_results(rows, results, job.part, columns)


def _result(row: Mapping[str, Any], job: VectorJob) -> Result:
    seen = job.text is not None and bool(job.image_of(row))
    if job.text is not None and not seen and not job.text_of(row):
        return {}, Failure(job.lacking, f"there is no text in {job.text} to embed")
    response_column, success_column = response_columns(1 if seen else 0)
    response = Response.of(row.get(response_column))
    cells: dict[str, Any] = {job.tokens: response.tokens("total_tokens", "input_tokens", "prompt_tokens")}
    if not succeeded(row.get(success_column)):
        return cells, call_failure(response)
    if response.content is None:
        return cells, not_an_object(response)
    vector = embedding_vector(response)
    if isinstance(vector, Failure):
        return cells, vector
    if job.dimension is not None and len(vector) != job.dimension:
        return cells, Failure(Reason.DIMENSION_MISMATCH, f"{len(vector)} values, {job.dimension} wanted")
    return {**cells, job.part.result: json.dumps(vector)}, None
