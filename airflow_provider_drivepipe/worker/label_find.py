"""Takes the label out of a model's answer: found, put right, checked. Runs in DPE workers: stdlib only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_provider_drivepipe.worker.label_check import label_violations
from airflow_provider_drivepipe.worker.label_normalise import normalise
from airflow_provider_drivepipe.worker.label_parse import Found, objects

_MAX_PROBLEMS = 5
_SHOWN = 80


@dataclass(frozen=True)
class Label:
    """A JSON object from an answer, with its values put right.

    :param problem: what does not fit the schema, empty when all does.
    :param normalised: how many values were put right.
    :param known: how many of the schema's properties it has.
    """

    value: dict[str, Any]
    problem: str
    normalised: int
    known: int

    @property
    def text(self) -> str:
        """The label as one line of JSON, non-ASCII text as it is."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":"))


def find_label(answer: str, schema: dict[str, Any]) -> Label | None:
    """Return an answer's first object that fits the schema; else the one most like a label; else None."""
    best: Label | None = None
    most = -1
    for found in objects(answer):
        value, normalised = normalise(found.value, schema)
        known = sum(key in schema.get("properties", {}) for key in value)
        label = Label(value, _problem(found, value, schema, known), normalised, known)
        if not label.problem:
            return label
        if known > most:
            best, most = label, known
    return best


def _problem(found: Found, value: dict[str, Any], schema: dict[str, Any], known: int) -> str:
    if found.twice:
        return f"$: {found.twice[:_SHOWN]} stands twice, with different values"
    problems = list(islice(label_violations(value, schema), _MAX_PROBLEMS))
    if not known and not problems and "properties" in schema:
        return f"$: none of {', '.join(schema['properties'])} is there"
    return "; ".join(problems)
