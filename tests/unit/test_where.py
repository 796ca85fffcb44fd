"""Conditions on rows: what is read, and that all that is wrong is said at once."""

from __future__ import annotations

import pytest

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.stages.where import WhereError, read_where
from airflow_provider_drivepipe.worker.frame_search import Comparison

COLUMNS = [
    Column("frame_time_ms", "bigint"),
    Column("score", "double"),
    Column("label_text", "string"),
    Column("label_json_valid", "boolean"),
    Column("image_embedding", "string"),
    Column("tags", "array<string>"),
]
SCHEMA = "driving-scene/v1"


@pytest.mark.parametrize(
    ("text", "comparisons"),
    [
        ("", []),
        ("weather='rainy'", [("weather", True, "=", ("rainy",))]),
        (
            "frame_time_ms >= 2000 AND label_json_valid = true and score<-1.5e1",
            [
                ("frame_time_ms", False, ">=", (2000,)),
                ("label_json_valid", False, "=", (True,)),
                ("score", False, "<", (-15.0,)),
            ],
        ),
        ("weather in ('rainy', \"foggy\")", [("weather", True, "in", ("rainy", "foggy"))]),
        ("caption != 'a ''band'' and ;--\\'", [("caption", True, "!=", ("a 'band' and ;--\\",))]),
    ],
)
def test_conditions_are_data(text, comparisons):
    assert read_where(text, COLUMNS, SCHEMA) == tuple(Comparison(*each) for each in comparisons)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("wether = 'rainy'", "there is no 'wether'; did you mean weather?"),
        ("weather = 'rain'", "weather is never 'rain'; did you mean 'rainy'?"),
        ("weather = rainy", "'rainy' is no value: texts stand in quotes"),
        ("frame_time_ms = '1'", "frame_time_ms is of type bigint: compare it with a number"),
        ("label_json_valid > true", "label_json_valid is true or false: > says nothing of it"),
        ("key_objects = 'car'", "key_objects is of type list of objects, which cannot be compared"),
        ("tags = 'a'", "tags is of type array<string>, which cannot be compared"),
        ("image_embedding = 'a'", "there is no 'image_embedding'"),
        ("frame_time_ms = 1 and", "a comparison is missing beside 'and'"),
        ("frame_time_ms = 1 or score = 2", "is no comparison: write"),
        ("frame_time_ms = 1; drop table x", "is no comparison: write"),
        ("frame_time_ms = 1x", "is no comparison: write"),
        ("weather in ('rainy' 'snowy')", "is no list: write"),
        ("weather in ()", "is no list: write"),
        ("weather = 'rainy", "is no comparison: write"),
        ("length(caption) > 3", "is no comparison: write"),
    ],
)
def test_what_is_wrong_is_said_with_what_would_be_right(text, problem):
    with pytest.raises(WhereError) as raised:
        read_where(text, COLUMNS, SCHEMA)
    assert problem in str(raised.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(WhereError) as raised:
        read_where("wether = 'a' and weather = 'rain' and score = 'x' and wether = 'a'", COLUMNS, SCHEMA)
    assert len(raised.value.problems) == 3


def test_without_a_schema_or_a_label_there_are_columns_only():
    for columns, schema in ((COLUMNS, None), (COLUMNS[:2], SCHEMA)):
        with pytest.raises(WhereError, match="there is no 'weather'"):
            read_where("weather = 'rainy'", columns, schema)


@pytest.mark.parametrize(
    ("op", "values", "found", "holds"),
    [
        ("=", ("a",), "a", True),
        ("=", ("a",), None, False),
        ("!=", ("a",), None, False),
        ("!=", ("a",), "b", True),
        ("<", (3,), 2.5, True),
        ("<", (3,), "2", False),
        (">=", ("b",), "b", True),
        (">=", (1,), 0.5, False),
        ("<=", (1,), 1, True),
        ("in", ("a", "b"), "b", True),
        ("in", ("a", "b"), "c", False),
        ("=", ("a",), ["b", "a"], True),
        ("!=", ("a",), ["b", "a"], False),
        ("!=", ("a",), ["b"], True),
        (">", (3,), [1, 4], True),
        (">", (3,), {"a": 4}, False),
    ],
)
def test_comparisons_hold_as_in_sql(op, values, found, holds):
    assert Comparison("x", False, op, values).holds(found) is holds
