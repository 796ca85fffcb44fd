"""The label of a row: read from one answer or, after repair, from several. Runs in DPE workers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_drivepipe.worker.answers import (
    Failure,
    Response,
    answer_text,
    asks_for_picture,
    call_failure,
    declines,
    is_refusal,
    no_answer,
    not_an_object,
    scrub,
    was_blocked,
    was_cut_off,
)
from airflow_provider_drivepipe.worker.label_find import Label, find_label
from airflow_provider_drivepipe.worker.label_repair import REPAIRABLE, repair_text

REPAIR_TEXT = "drivepipe_repair_text"
"""Column with what the model is told when it is asked again; empty for rows that need no repair."""

_SHOWN = 200
_CUT_OFF = "the answer was cut off at the token limit"
_NO_OBJECT = "no JSON object in the answer"
_LONGEST_TEXT = 2_000_000
"""Most characters of an answer that a row keeps: a MaxCompute string has at most 8 MB."""
_LARGEST_BIGINT = 2**63 - 1
_WORTH = {"schema_violation": 2, "invalid_json": 1}


@dataclass(frozen=True)
class LabelJob:
    """How labels are read.

    :param schema: JSON Schema (a dict), or None for free text.
    :param repair_rounds: how often a model is asked again for an answer that is no label.
    :param chinese: whether to ask again in Chinese.
    :param fields: (property, column, MaxCompute type) of the columns that labels are flattened into.
    """

    schema: dict[str, Any] | None = None
    repair_rounds: int = 0
    chinese: bool = False
    fields: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class RowLabel:
    """The label columns of a row, and why the label cannot be used, if so.

    ``answer`` and ``problem`` are what a repair quotes.
    """

    cells: dict[str, Any]
    failure: Failure | None = None
    answer: str = ""
    problem: str = ""

    @property
    def repairable(self) -> bool:
        """Whether the model answered, only not in the right form."""
        return self.failure is not None and self.failure.reason in REPAIRABLE


def response_columns(asked_before: int) -> tuple[str, str]:
    """Return the names of the raw columns (response, success) of the first answer (0) or of a repair."""
    start = f"drivepipe_repair_{asked_before}" if asked_before else "label"
    return f"{start}_response", f"{start}_success"


def succeeded(value: object) -> bool:
    """Return what a cell says of success; NULL, as a call that never came back leaves it, is none."""
    return str(value).lower() in ("true", "1", "1.0")


def label_of(row: Mapping[str, Any], job: LabelJob, repairs: int | None = None) -> RowLabel:
    """Return the label of a row from its answers, the first one and those of so many repairs (None: all).

    Tokens are those of all calls. A repair that fails leaves the better of the results and the first error.
    """
    label = _read(row, job, 0)
    for number in range(1, 1 + (job.repair_rounds if repairs is None else repairs)):
        if not label.repairable:
            break
        label = _better(label, _read(row, job, number))
    return label


def repair_request(row: Mapping[str, Any], job: LabelJob, number: int) -> str:
    """Return what the model is told in repair ``number``, from 1; empty when the row needs none."""
    label = label_of(row, job, number - 1)
    return repair_text(label.answer, label.problem, job.chinese) if label.repairable else ""


def _better(first: RowLabel, repaired: RowLabel) -> RowLabel:
    tokens = {
        name: first.cells[name] + repaired.cells[name] for name in ("label_input_token", "label_output_token")
    }
    if repaired.failure is None:
        return replace(repaired, cells={**repaired.cells, **tokens})
    kept = repaired if _worth(repaired) > _worth(first) else first
    return replace(kept, cells={**kept.cells, **tokens}, failure=first.failure)


def _worth(label: RowLabel) -> int:
    return _WORTH.get(label.failure.reason, 0) if label.failure else len(_WORTH) + 1


def _read(row: Mapping[str, Any], job: LabelJob, number: int) -> RowLabel:
    response_column, success_column = response_columns(number)
    response = Response.of(row.get(response_column))
    cells: dict[str, Any] = {
        "label_text": None,
        "label_json_valid": None if job.schema is None else False,
        "label_normalised": None,
        "label_input_token": response.tokens("prompt_tokens", "input_tokens"),
        "label_output_token": response.tokens("completion_tokens", "output_tokens"),
        "label_response": response.text[:_LONGEST_TEXT] or None,
        **{column: None for _, column, _ in job.fields},
    }
    if not succeeded(row.get(success_column)):
        # An error may quote the request, with its signed URLs; an answer cannot.
        cells["label_response"] = scrub(response.text) or None
        return RowLabel(cells, call_failure(response))
    if response.content is None:
        return RowLabel(cells, not_an_object(response))
    answer = answer_text(response)
    if not answer.strip():
        return RowLabel(cells, no_answer(response))
    cells["label_text"] = answer[:_LONGEST_TEXT]
    if job.schema is None:
        return RowLabel(cells, Failure("refusal", answer) if is_refusal(answer) else None)
    label = find_label(answer, job.schema)
    if label is not None:
        cells = {
            **cells,
            "label_text": label.text[:_LONGEST_TEXT],
            "label_json_valid": not label.problem,
            "label_normalised": label.normalised,
        }
        if not label.problem and not asks_for_picture(label.value):
            flat = {column: _flat(label.value.get(name), type_) for name, column, type_ in job.fields}
            return RowLabel({**cells, **flat})
    failure = _why_no_label(response, answer, label)
    if failure.reason != "invalid_json":
        return RowLabel(cells, failure, answer, failure.message)
    return RowLabel(
        cells, Failure(failure.reason, f"{failure.message}: {answer[:_SHOWN]}"), answer, failure.message
    )


def _why_no_label(response: Response, answer: str, label: Label | None) -> Failure:
    if was_blocked(response):
        return Failure("content_blocked", f"the model service withheld the rest of the answer: {answer}")
    if label is None:
        if is_refusal(answer):
            return Failure("refusal", answer)
        return Failure("invalid_json", _CUT_OFF if was_cut_off(response) else _NO_OBJECT)
    if asks_for_picture(label.value) or (not label.known and declines(label.value)):
        return Failure("refusal", label.text)
    return Failure("schema_violation", label.problem)


def _flat(value: Any, type_: str) -> Any:
    """Return a property as a column holds it; None where it is missing or too large for its type."""
    if value is None or (type_ == "string" and isinstance(value, str)) or type_ == "boolean":
        return value
    if type_ == "bigint":
        return int(value) if abs(value) <= _LARGEST_BIGINT else None
    if type_ == "double":
        return _as_double(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _as_double(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None
