"""What follows from answers without a further call. Runs in DPE workers: standard library and pandas only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.contracts import Reason, Status
from airflow_provider_drivepipe.worker.answers import Failure
from airflow_provider_drivepipe.worker.reasoning.times import read_time
from airflow_provider_drivepipe.worker.rows import RowPart, text_of, with_results


def admit(rows: Any, part: RowPart, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` with ``admitted``; a video outside the domain is filtered.

    :param rows: have ``filter_in_domain`` and ``filter_reason``, from the filter's answer.
    """
    results = []
    for row in rows.to_dict("records"):
        inside = text_of(row["filter_in_domain"]).lower() in ("true", "1", "1.0")
        failure = Failure(Reason.OUT_OF_DOMAIN, text_of(row["filter_reason"]), Status.FILTERED)
        results.append(({"admitted": inside}, None if inside else failure))
    return with_results(rows, results, part, columns)


def moments(rows: Any) -> Any:
    """Return ``rows`` with ``moment_ms``, read from the answer in ``moment_text``; NULL where it has none."""
    import pandas as pd

    found = []
    for text in rows["moment_text"]:
        try:
            said = json.loads(text_of(text) or "{}")
        except ValueError:
            said = {}
        value = said.get("moment_mmss") if isinstance(said, dict) else None
        found.append(None if value is None else read_time(value, "moment"))
    return rows.assign(moment_ms=pd.Series(found, index=rows.index, dtype="Int64"))
