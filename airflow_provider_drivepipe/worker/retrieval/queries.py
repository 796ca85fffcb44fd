"""What a question's frames are looked for with. Runs in DPE workers: standard library and pandas only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.rows import OK_CELLS, expanded, failed_cells, text_of, unit_dtypes

STAGE = "query_make"
TEXT, PLANNED_TEXT, PLANNED_IMAGE = "text", "planned_text", "planned_image"
KINDS = (TEXT, PLANNED_TEXT, PLANNED_IMAGE)
QUERY_COLUMNS: tuple[Column, ...] = (
    Column("query_number", "bigint", "0-based place among the question's queries, -1 where it has none"),
    Column("query_kind", "string", "text (the question), planned_text or planned_image (a request)"),
    Column("request_number", "bigint", "0-based place of the request in the plan, NULL for text"),
    Column("query_text", "string", "the question, or what the request says that the picture shows"),
    Column("reference_url", "string", "OSS URI of the request's frame, NULL for text"),
)


@dataclass(frozen=True)
class QueryJob:
    """What one call of :func:`make_queries` makes.

    :param kinds: of queries that arms look for frames with, some of ``KINDS``.
    :param lineage: columns of the input that travel through, none of those that it makes.
    """

    kinds: tuple[str, ...]
    lineage: tuple[str, ...]

    def check(self) -> None:
        """Raise ValueError for a job without a query: its arms need none, and no task that makes any."""
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ValueError(f"queries are of one kind or more, of {', '.join(KINDS)}: {self.kinds}")


def make_queries(rows: Any, job: QueryJob) -> Any:
    """Return the queries of questions, ``rows`` of a pandas DataFrame: text, planned texts, planned images.

    A question without ``requests``, since its plan failed, has its text alone. Where that is not asked for it
    has one row with ``query_number`` -1, failed with ``no_query``. Raises ValueError for a job without kinds,
    KeyError for an input without one of the columns.
    """
    job.check()

    def rows_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
        queries = [{"query_number": n, **query, **OK_CELLS} for n, query in enumerate(_queries(row, job))]
        if queries:
            return queries
        message = "the plan gave no requests; see the question's row in the table of plans"
        return [{"query_number": -1, **failed_cells(STAGE, Reason.NO_QUERY, message)}]

    return expanded(rows, rows_of, QUERY_COLUMNS, job.lineage)


def query_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`make_queries` gives, from those of lineage."""
    return unit_dtypes(QUERY_COLUMNS, lineage_dtypes)


def _queries(row: Mapping[str, Any], job: QueryJob) -> Iterator[dict[str, Any]]:
    requests = json.loads(text_of(row.get("requests")) or "[]")
    for kind in KINDS:
        if kind not in job.kinds:
            continue
        if kind == TEXT:
            yield {"query_kind": kind, "query_text": text_of(row["question"])}
            continue
        for number, request in enumerate(requests):
            yield {
                "query_kind": kind,
                "request_number": number,
                "query_text": request["prompt"],
                "reference_url": request["reference_url"],
            }
