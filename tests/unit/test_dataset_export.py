"""What labelled images become in each format, without a cloud."""

from __future__ import annotations

import json
import tracemalloc

import pyarrow.parquet
import pytest

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Reason
from airflow_provider_drivepipe.pipelines.driving.export import (
    DatasetOptions,
    SampleSpool,
    SampleTable,
    card_text,
    make_card,
    write_files,
)
from airflow_provider_drivepipe.worker.images import ImageError

COLUMNS = (
    Column("image_url", "string"),
    Column("city", "string"),
    Column("brightness", "double"),
    Column("label_text", "string"),
    Column("label_weather", "string"),
    Column("image_embedding", "string"),
    Column("tags", "array<string>"),
    *STATUS_COLUMNS,
)
SAID = {"table": "t ds=1", "source": "s ds=1", "left_out": {}, "prompts": {}, "models": {}}


def row(number, **more):
    return {
        "image_url": f"oss://e/b/f/{number:05d}.jpg",
        "city": "成都",
        "brightness": 1.5,
        "label_text": '{"weather": "rainy", "time_of_day": "night"}',
        "label_weather": "rainy",
        "image_embedding": "[1]",
        "fingerprint": f"label=aa;input={number}",
        **more,
    }


def options(**more):
    schema = {
        "type": "object",
        "properties": {
            "weather": {"type": "string", "enum": ["rainy", "clear", "unknown"]},
            "surface": {"type": "string", "enum": ["dry", "unknown"]},
            "abstain": {"type": "boolean"},
        },
        "required": ["weather"],
    }
    return DatasetOptions(**{"bucket": "b", "label_schema": json.dumps(schema), **more})


def written(tmp_path, rows, given, read=None, said=SAID):
    """Write rows; return the files by name, and the card."""
    table = SampleTable.of(COLUMNS, given)
    spool = SampleSpool(tmp_path / "samples.db")
    for each in rows:
        spool.put(table.sample(each), "etag")
    card = make_card(spool, table, given, said)
    files = dict(write_files(tmp_path, spool.samples(), table, given, read))
    spool.close()
    (tmp_path / "samples.db").unlink()
    return files, card


def test_a_sample_has_the_rows_own_columns_and_its_label():
    table = SampleTable.of(COLUMNS, options())
    sample = table.sample(row(1, brightness=float("nan")))
    assert sample.keys() == {"image_url", "city", "brightness", "fingerprint", "label"}
    assert (sample["brightness"], sample["label"]["weather"]) == (None, "rainy")
    with pytest.raises(ValueError, match="column 'label' has the name of the label"):
        SampleTable.of([*COLUMNS, Column("label", "string")], options())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"label_text": ""}, Reason.NO_LABEL),
        ({"label_text": "[" * 100_000}, Reason.INVALID_JSON),
        ({"label_text": '"rainy"'}, Reason.SCHEMA_VIOLATION),
        ({"label_text": '{"weather": "mild"}'}, Reason.SCHEMA_VIOLATION),
        ({"image_url": None}, Reason.NOT_FOUND),
    ],
)
def test_what_cannot_be_a_sample_says_why(more, reason):
    table = SampleTable.of(COLUMNS, options(where="weather = 'clear'"))
    with pytest.raises(ImageError) as raised:
        table.sample(row(1, **more))
    assert raised.value.reason == reason


def test_a_condition_speaks_of_columns_and_labels_and_an_abstention_is_a_label():
    table = SampleTable.of(COLUMNS, options(where="abstain = true and city = '成都'"))
    assert table.sample(row(1, label_text='{"abstain": true}'))["label"] == {"abstain": True}
    assert table.sample(row(1)) is None
    assert table.where_columns == ("city",)


def test_labels_without_a_schema_are_texts(tmp_path):
    rows = [row(1, label_text="A wet road | at night")]
    files, card = written(tmp_path, rows, options(label_schema=None, format="parquet"))
    found = pyarrow.parquet.read_table(tmp_path / "samples-00000.parquet")
    assert found.column_names == ["image_url", "city", "brightness", "fingerprint", "label_text"]
    assert found["label_text"].to_pylist() == ["A wet road | at night"]
    assert (files, card["label_schema"], card["label_values"]) == ({"samples-00000.parquet": 1}, None, {})


def test_other_words_than_those_of_bdd100k_stay(tmp_path):
    rows = [row(1, label_text='{"weather": "unknown", "surface": "unknown"}')]
    written(tmp_path, rows, options(format="coco"))
    [image] = json.loads((tmp_path / "coco.json").read_text())["images"]
    assert image["attributes"] == {"weather": "undefined", "surface": "unknown"}
    assert "width" not in image


def test_the_fingerprint_is_of_samples_pictures_and_options_not_of_their_order(tmp_path):
    def fingerprint(rows, **more):
        return written(tmp_path, rows, options(**more))[1]["fingerprint"]

    same = fingerprint([row(1), row(2)])
    assert fingerprint([row(2), row(1), row(2)]) == same
    others = [
        fingerprint([row(1)]),
        fingerprint([row(1), row(2, city="北京")]),
        fingerprint([row(1), row(2)], license="CC0"),
        fingerprint([row(1), row(2)], shard_size=1),
        fingerprint([row(1), row(2)], format="parquet"),
    ]
    assert len({same, *others}) == 6
    prompts = {**SAID, "prompts": {"label": {"name": "known/v1"}}}
    assert written(tmp_path, [row(1), row(2)], options(), said=prompts)[1]["fingerprint"] == same


def test_a_card_is_a_table_whatever_the_texts_hold(tmp_path):
    _, card = written(tmp_path, [row(1)], options(license="A | B"))
    text = card_text({**card, "prompts": {"label": {"name": "night/v2", "sha256": "ab" * 32}}})
    assert "| Licence | A \\| B |" in text
    assert "| Prompts | night/v2 (abababababab) |" in text
    assert "| `weather` | rainy 1 |" in text


@pytest.mark.parametrize("format_", ["jsonl", "parquet", "coco", "webdataset"])
def test_memory_does_not_grow_with_the_samples(tmp_path, format_):
    peaks = []
    for count in (400, 4000):
        tracemalloc.start()
        rows = (row(number, city="x" * 1000) for number in range(count))
        files, _ = written(
            tmp_path, rows, options(format=format_, shard_size=100), lambda urls: [b"picture"] * len(urls)
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(files.values()) == count
    assert peaks[1] < 2 * peaks[0]
