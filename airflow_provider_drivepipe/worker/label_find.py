"""Takes the label out of a model's answer: found, put right, checked. Runs in DPE workers: stdlib only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.worker.label_check import violation
from airflow_provider_drivepipe.worker.label_normalise import normalise
from airflow_provider_drivepipe.worker.label_parse import objects


@dataclass(frozen=True)
class Label:
    """A JSON object from an answer, with its values put right.

    ``problem`` is the first violation of the schema, empty when it fits; ``normalised`` is the number of
    values that were put right.
    """

    value: dict[str, Any]
    problem: str
    normalised: int

    @property
    def text(self) -> str:
        """The label as one line of JSON, non-ASCII text as it is."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":"))


def find_label(answer: str, schema: dict[str, Any]) -> Label | None:
    """Return the first object in an answer that fits the schema; else the one most like a label; else None.

    A part of an object that was cut off is no label, unless it looks like one itself.
    """
    best: Label | None = None
    most = -1
    for found in objects(answer):
        value, normalised = normalise(found.value, schema)
        problem = violation(value, schema)
        known = sum(key in schema.get("properties", {}) for key in value)
        if found.inside and not known:
            continue
        label = Label(value, problem, normalised)
        if not problem:
            return label
        if known > most:
            best, most = label, known
    return best
