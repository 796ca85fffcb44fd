"""The answer about a row: read from one response or, after repair, from several. Runs in DPE workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
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
from airflow_provider_drivepipe.worker.rows import RowPart, with_request, with_results

REPAIR_TEXT = "drivepipe_repair_text"
"""Column with what the model is told when it is asked again; empty for rows that need no repair."""

_SHOWN = 200
_CUT_OFF = "the answer was cut off at the token limit"
_NO_OBJECT = "no JSON object in the answer"
_LONGEST_TEXT = 2_000_000
"""Most characters of an answer that a row keeps: a MaxCompute string has at most 8 MB."""
_LARGEST_BIGINT = 2**63 - 1
Lacks = Callable[[Mapping[str, Any]], Reason | None]
_WORTH: dict[str, int] = {Reason.SCHEMA_VIOLATION: 2, Reason.INVALID_JSON: 1}


@dataclass(frozen=True)
class AnswerJob:
    """How answers are read.

    :param part: what they become; its columns start with the stage's name.
    :param schema: JSON Schema (a dict), or None for free text.
    :param by: column by whose value another one of ``schemas`` holds, empty without one.
    :param repair_rounds: how often a model is asked again for an answer that does not fit the schema.
    :param chinese: whether to ask again in Chinese.
    :param sees: what the model is shown, ``picture`` or ``video``; empty when it only reads.
    :param lacks: says why an answer tells nothing that can be used, whatever its form; None where it tells.
    :param fields: (property, column, MaxCompute type) of the columns that answers are flattened into.
    """

    part: RowPart
    schema: dict[str, Any] | None = None
    repair_rounds: int = 0
    chinese: bool = False
    sees: str = ""
    fields: tuple[tuple[str, str, str], ...] = ()
    by: str = ""
    schemas: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lacks: Lacks | None = None

    def schema_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the schema of a row's answer, None for free text."""
        return self.schemas.get(str(row.get(self.by)), self.schema) if self.by else self.schema

    @property
    def name(self) -> str:
        """What its columns start with."""
        return self.part.stage

    @property
    def token_columns(self) -> tuple[str, str]:
        """The columns with the tokens of the question and of the answer."""
        return f"{self.name}_input_token", f"{self.name}_output_token"


@dataclass(frozen=True)
class Answer:
    """The columns of a row's answer, and why the answer cannot be used, if so.

    ``said`` and ``problem`` are what a repair quotes.
    """

    cells: dict[str, Any]
    failure: Failure | None = None
    said: str = ""
    problem: str = ""

    @property
    def repairable(self) -> bool:
        """Whether the model answered, only not in the right form."""
        return self.failure is not None and self.failure.reason in REPAIRABLE


def response_columns(asked_before: int) -> tuple[str, str]:
    """Return the names of the raw columns (response, success) of the first answer (0) or of a repair."""
    return f"drivepipe_response_{asked_before}", f"drivepipe_success_{asked_before}"


def succeeded(value: object) -> bool:
    """Return what a cell says of success; NULL, as a call that never came back leaves it, is none."""
    return str(value).lower() in ("true", "1", "1.0")


def read_answers(rows: Any, job: AnswerJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` with the answers of their raw columns.

    A row fails here only when no stage has failed it before; its answer is kept in any case.
    """
    answers = [answer_of(row, job) for row in rows.to_dict("records")]
    return with_results(rows, [(answer.cells, answer.failure) for answer in answers], job.part, columns)


def mark_repairs(rows: Any, job: AnswerJob, number: int) -> Any:
    """Return ``rows`` with what repair ``number`` asks, empty where none is needed, in ``REPAIR_TEXT``.

    For the columns that wait for its answers see :func:`with_request`.
    """
    texts = [repair_request(row, job, number) for row in rows.to_dict("records")]
    return with_request(rows, texts, REPAIR_TEXT, *response_columns(number))


def answer_of(row: Mapping[str, Any], job: AnswerJob, repairs: int | None = None) -> Answer:
    """Return the answer about a row from the first response and those of so many repairs (None: all).

    Tokens are those of all calls. A repair that fails leaves the better of the results and the first error.
    """
    answer = _read(row, job, 0)
    for number in range(1, 1 + (job.repair_rounds if repairs is None else repairs)):
        if not answer.repairable:
            break
        answer = _better(answer, _read(row, job, number), job)
    return answer


def repair_request(row: Mapping[str, Any], job: AnswerJob, number: int) -> str:
    """Return what the model is told in repair ``number``, from 1; empty when the row needs none."""
    answer = answer_of(row, job, number - 1)
    return repair_text(answer.said, answer.problem, job.chinese, job.sees) if answer.repairable else ""


def _better(first: Answer, repaired: Answer, job: AnswerJob) -> Answer:
    tokens = {name: first.cells[name] + repaired.cells[name] for name in job.token_columns}
    if repaired.failure is None:
        return replace(repaired, cells={**repaired.cells, **tokens})
    kept = repaired if _worth(repaired) > _worth(first) else first
    return replace(kept, cells={**kept.cells, **tokens}, failure=first.failure)


def _worth(answer: Answer) -> int:
    return _WORTH.get(answer.failure.reason, 0) if answer.failure else len(_WORTH) + 1


def _read(row: Mapping[str, Any], job: AnswerJob, number: int) -> Answer:
    response_column, success_column = response_columns(number)
    response = Response.of(row.get(response_column))
    input_token, output_token = job.token_columns
    text, raw = f"{job.name}_text", f"{job.name}_response"
    cells: dict[str, Any] = {
        text: None,
        f"{job.name}_json_valid": False,
        f"{job.name}_normalised": None,
        input_token: response.tokens("prompt_tokens", "input_tokens"),
        output_token: response.tokens("completion_tokens", "output_tokens"),
        raw: response.text[:_LONGEST_TEXT] or None,
    }
    if not succeeded(row.get(success_column)):
        # An error may quote the request, with its signed URLs; an answer cannot.
        cells[raw] = scrub(response.text) or None
        return Answer(cells, call_failure(response))
    if response.content is None:
        return Answer(cells, not_an_object(response))
    said = answer_text(response)
    if not said.strip():
        return Answer(cells, no_answer(response))
    cells[text] = said[:_LONGEST_TEXT]
    schema = job.schema_of(row)
    if schema is None:
        return Answer(cells, Failure(Reason.REFUSAL, said) if is_refusal(said, bool(job.sees)) else None)
    label = find_label(said, schema)
    if label is not None:
        cells |= {
            text: label.text[:_LONGEST_TEXT],
            f"{job.name}_json_valid": not label.problem,
            f"{job.name}_normalised": label.normalised,
        }
        reason = job.lacks(label.value) if job.lacks and label.known else None
        if reason is not None:
            return Answer(cells, Failure(reason, label.text))
        if not label.problem and not _asks_for_picture(label, job):
            flat = {column: flat_value(label.value.get(name), type_) for name, column, type_ in job.fields}
            return Answer({**cells, **flat})
    failure = _why_no_label(response, said, label, job)
    if failure.reason != Reason.INVALID_JSON:
        return Answer(cells, failure, said, failure.message)
    return Answer(
        cells, Failure(failure.reason, f"{failure.message}: {said[:_SHOWN]}"), said, failure.message
    )


def _asks_for_picture(label: Label, job: AnswerJob) -> bool:
    return bool(job.sees) and asks_for_picture(label.value)


def _why_no_label(response: Response, answer: str, label: Label | None, job: AnswerJob) -> Failure:
    if was_blocked(response):
        return Failure(Reason.CONTENT_BLOCKED, f"the model service withheld the rest of the answer: {answer}")
    if label is None:
        if is_refusal(answer, bool(job.sees)):
            return Failure(Reason.REFUSAL, answer)
        return Failure(Reason.INVALID_JSON, _CUT_OFF if was_cut_off(response) else _NO_OBJECT)
    if _asks_for_picture(label, job) or (not label.known and declines(label.value, bool(job.sees))):
        return Failure(Reason.REFUSAL, label.text)
    return Failure(Reason.SCHEMA_VIOLATION, label.problem)


def flat_value(value: Any, type_: str) -> Any:
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
