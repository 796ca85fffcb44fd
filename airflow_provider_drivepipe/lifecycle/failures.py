"""Which inputs failed, for people: the first of them with their reasons, and the query for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Status
from airflow_provider_drivepipe.lifecycle.tables import StageTables
from airflow_provider_drivepipe.sql import column_list, quote_name, quote_text

SHOWN = 20
"""Most failed inputs that are named."""
XCOM_KEY = "failures_sample"

_REASON = ("error_stage", "error_type", "error_msg")
_MAX_TEXT = 256
_MAX_BYTES = 16 * 1024
_NOTE_LENGTH = 1000
"""Longest note that Airflow keeps, in characters."""
_NOTE_HEAD = "**Failed inputs**"


def failed_rows(tables: StageTables) -> str:
    """Return the query for the rows that a task has failed, as a person runs it."""
    stages = ", ".join(quote_text(stage) for stage in tables.stages)
    return (
        f"SELECT {column_list([*tables.row_key, *_REASON])} FROM {quote_name(tables.output)} "
        f"WHERE {tables.partition_filter} AND `status` = {quote_text(Status.FAILED)} "
        f"AND `error_stage` IN ({stages})"
    )


def first_failed_rows(tables: StageTables) -> str:
    """Return the query for those of them that are named."""
    return f"{failed_rows(tables)} ORDER BY {column_list(tables.row_key)} LIMIT {SHOWN}"


@dataclass(frozen=True)
class FailedInput:
    """One input that failed, with its reason; texts are cut.

    :param input: what tells it from others.
    """

    input: str
    stage: str
    reason: str
    message: str

    @classmethod
    def of_row(cls, tables: StageTables, row: Sequence[object]) -> FailedInput:
        """Return the input of a row that :func:`first_failed_rows` gave."""
        key, reason = row[: len(tables.row_key)], row[len(tables.row_key) :]
        named = zip(tables.row_key, key, strict=True)
        # The path says what it is; frame -1 stands for a whole video.
        others = [f"{name}={value}" for name, value in list(named)[1:] if value not in (None, -1)]
        return cls(_cut(" ".join([str(key[0]), *others])), *(_cut(str(value or "")) for value in reason))

    def __str__(self) -> str:
        message = f": {self.message}" if self.message else ""
        return f"{self.input}: {self.stage} {self.reason}{message}"


@dataclass(frozen=True)
class FailureSample:
    """The failed inputs of a task, bounded in number and size.

    :param failures: how many failed, by stage and reason.
    :param inputs: the first of them.
    :param query: gives all of them; None where no table holds them.
    """

    failures: Mapping[str, Mapping[str, int]]
    inputs: tuple[FailedInput, ...]
    query: str | None = None

    @classmethod
    def of_rows(
        cls, tables: StageTables, failures: Mapping[str, Mapping[str, int]], rows: Iterable[Sequence[object]]
    ) -> FailureSample:
        """Return the sample of a task from the rows that :func:`first_failed_rows` gave."""
        return cls(failures, tuple(FailedInput.of_row(tables, row) for row in rows), failed_rows(tables))

    @property
    def summary(self) -> str:
        """How many failed, and why, in one line."""
        reasons = [
            f"{stage} {reason} {count}"
            for stage, counts in self.failures.items()
            for reason, count in counts.items()
        ]
        return f"{self.count} failed: {', '.join(reasons)}"

    @property
    def count(self) -> int:
        """How many failed; one that several stages failed counts in each."""
        return sum(count for counts in self.failures.values() for count in counts.values())

    def log_text(self) -> str:
        """Return the sample for the task's log."""
        lines = [self.summary, *(f"  {each}" for each in self.inputs)]
        if self.query:
            lines.append(
                f"{'All of them' if self.count > len(self.inputs) else 'The same as SQL'}: {self.query}"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the sample for XCom; inputs that would make it too big are left out."""
        inputs: list[dict[str, str]] = []
        for each in map(asdict, self.inputs):
            if len(json.dumps([*inputs, each])) > _MAX_BYTES:
                break
            inputs.append(each)
        return {"summary": self.summary, "inputs": inputs, "query": self.query}


def task_note(sample: Mapping[str, Any]) -> str:
    """Return a sample, as XCom holds it, as the note of its task: Markdown."""
    lines = [f"{_NOTE_HEAD}: {sample['summary']}"]
    query = f"```sql\n{sample['query']}\n```" if sample["query"] else ""
    room = _NOTE_LENGTH - len(query) - 2
    for each in sample["inputs"]:
        line = f"- {FailedInput(**each)}"
        if sum(map(len, lines)) + len(lines) + len(line) > room:
            break
        lines.append(line)
    text = "\n".join(lines)[:room]
    return f"{text}\n\n{query}" if query and len(query) < _NOTE_LENGTH // 2 else text[:_NOTE_LENGTH]


def run_note(samples: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the samples of a run's tasks, by task id, as the note of the run: Markdown."""
    lines = [f"- task `{task}`: {sample['summary']}" for task, sample in samples.items()]
    return "\n".join([_NOTE_HEAD, "", *lines])[:_NOTE_LENGTH]


def is_our_note(text: str | None) -> bool:
    """Whether a note is of failed inputs, and not one that a person wrote."""
    return text is not None and text.startswith(_NOTE_HEAD)


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
