"""The fields of a label schema that have a fixed choice of values, and how SQL counts them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Status
from airflow_provider_drivepipe.reports.drift import Sums
from airflow_provider_drivepipe.sql import Figures, column_list, joined_text, quote_name, quote_text
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.stages.generate import Generate

VIDEO_COLUMNS = ("video_path", "clip_id", "clip_dir")
"""What rows come from, by which they are alike; the first one that a table has."""
MOST_VALUES = 40
"""A field with more values is no choice to be compared."""
_NAME = re.compile(r"\w+")


@dataclass(frozen=True)
class ChoiceField:
    """A property of an answer with an ``enum``, or a boolean.

    :param answer: column that holds the answer.
    :param path: the property; two names for one of the objects in a list.
    :param many: whether it is a list: a row may have several values, or none.
    """

    answer: str
    path: tuple[str, ...]
    values: tuple[str, ...]
    many: bool = False

    @property
    def name(self) -> str:
        """Its name, for people."""
        return ".".join(self.path)

    @property
    def text(self) -> str:
        """The SQL expression of the property's text."""
        return f"GET_JSON_OBJECT({quote_name(self.answer)}, {quote_text(f'$.{self.path[0]}')})"

    def has(self, text: str, value: str) -> str:
        """Return the SQL condition that the property has a value.

        :param text: expression of the property's text.
        """
        if not self.many:
            return f"{text} = {quote_text(value)}"
        key = f'"{self.path[1]}":' if self.path[1:] else ""
        wanted = quote_text(f'{key}"{value}"')
        return f"""INSTR(REPLACE({text}, '": "', '":"'), {wanted}) > 0"""


def choice_fields(stages: Sequence[object]) -> tuple[ChoiceField, ...]:
    """Return the fields of all stages that ask for answers by a schema."""
    return tuple(
        field
        for stage in stages
        if isinstance(stage, Generate) and stage.schema
        for field in _fields(f"{stage.name}_text", load_answer_schema(stage.schema))
        if len(field.values) <= MOST_VALUES and all(map(_NAME.fullmatch, field.path))
    )


def _fields(answer: str, schema: Mapping[str, Any]) -> Iterator[ChoiceField]:
    for name, asked in schema["properties"].items():
        if values := _values(asked):
            yield ChoiceField(answer, (name,), values)
        inner = asked.get("items", {})
        if values := _values(inner):
            yield ChoiceField(answer, (name,), values, many=True)
        for key, of_object in inner.get("properties", {}).items():
            if values := _values(of_object):
                yield ChoiceField(answer, (name, key), values, many=True)


def _values(asked: Mapping[str, Any]) -> tuple[str, ...]:
    if asked.get("type") == "boolean":
        return ("true",)
    return tuple(value for value in asked.get("enum", ()) if isinstance(value, str))


def count_choices(
    table: str, columns: Sequence[str], where: str, partition_column: str, fields: Sequence[ChoiceField]
) -> Figures:
    """Return the query for all values of all fields; :func:`read_choices` reads it. A row for each partition.

    One scan: the text of each property is taken out once, counted for each video, and summed up.
    """
    owner = [name for name in VIDEO_COLUMNS if name in columns][:1]
    texts = ", ".join(f"{field.text} AS t{n}" for n, field in enumerate(fields))
    rows = (
        f"SELECT {column_list([partition_column, *owner])}, {texts} FROM {quote_name(table)} "
        f"WHERE {where} AND `status` = {quote_text(Status.OK)}"
    )
    conditions = [f.has(f"t{n}", value) for n, f in enumerate(fields) for value in f.values]
    hits = [f"CASE WHEN {condition} THEN 1 ELSE 0 END" for condition in conditions]
    if owner:
        counted = ["COUNT(*) AS n", *(f"SUM({hit}) AS x{n}" for n, hit in enumerate(hits))]
        group = f" GROUP BY {column_list([partition_column, *owner])}"
    else:
        counted, group = ["1 AS n", *(f"{hit} AS x{n}" for n, hit in enumerate(hits))], ""
    videos = f"SELECT {quote_name(partition_column)}, {', '.join(counted)} FROM ({rows}) r{group}"
    sums = [f"SUM(x{n}{by})" for n in range(len(hits)) for by in ("", f" * x{n}", " * n")]
    return Figures(
        (quote_name(partition_column), "COUNT(*)", "SUM(n)", "SUM(n * n)", *sums),
        f"FROM ({videos}) v GROUP BY {quote_name(partition_column)}",
    )


def read_choices(
    fields: Sequence[ChoiceField], rows: Sequence[Sequence[Any]]
) -> dict[str, list[dict[str, Sums]]]:
    """Return by partition, for each field in order, what was counted of its values."""
    found = {}
    for partition, *sums in rows:
        videos, total, squares, *counted = (int(number or 0) for number in sums)
        numbers = iter(counted)
        found[str(partition)] = [
            {
                v: Sums(videos, total, squares, next(numbers), next(numbers), next(numbers))
                for v in field.values
            }
            for field in fields
        ]
    return found


def owner_text(columns: Sequence[str]) -> str:
    """Return the SQL expression of what a row comes from, or of the row itself."""
    owners = [name for name in VIDEO_COLUMNS if name in columns][:1]
    return joined_text(owners or [name for name in ("image_url", "question_id") if name in columns][:1])


def doubt(stages: Sequence[object], columns: Sequence[str]) -> str:
    """Return the SQL expression of how little an answer is sure of itself; 0 for one that has no doubt.

    What counts: that the model abstains, a property ``confidence`` below 1, values ``unknown``, and values
    that had to be put right.
    """
    terms = []
    for field in choice_fields(stages):
        weight = 100 if field.name == "abstain" else 1
        for value in {"true", "unknown"} & set(field.values) if not field.many else ():
            if value == "unknown" or field.name == "abstain":
                terms.append(f"CASE WHEN {field.has(field.text, value)} THEN {weight} ELSE 0 END")
    for stage in stages:
        if isinstance(stage, Generate) and stage.schema:
            if load_answer_schema(stage.schema)["properties"].get("confidence", {}).get("type") == "number":
                sure = ChoiceField(f"{stage.name}_text", ("confidence",), ()).text
                terms.append(f"50 * (1 - COALESCE(CAST({sure} AS DOUBLE), 1))")
            if (put_right := f"{stage.name}_normalised") in columns:
                terms.append(f"COALESCE({quote_name(put_right)}, 0)")
    return " + ".join(terms) or "0"
