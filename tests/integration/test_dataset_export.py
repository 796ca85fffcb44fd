"""The export of labelled images against the local cloud: files that others read, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import alibabacloud_oss_v2 as oss
import pyarrow.parquet
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk.api.datamodels._generated import AssetReferenceAssetEventDagRun
from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor
from PIL import Image

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, STATUS_COLUMNS, Column
from airflow_provider_drivepipe.exceptions import AuthenticationError, ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import DatasetExportOperator
from airflow_provider_drivepipe.sql import create_table
from tests.example_dags import example
from tests.integration.operator_context import Run

COLUMNS = (
    *FRAME_COLUMNS,
    Column("label_text", "string"),
    Column("image_embedding", "string"),
    *STATUS_COLUMNS,
)
PARTITION = "ds=20261120"
SCHEMA = {
    "type": "object",
    "title": "wet/v1",
    "properties": {
        "weather": {"type": "string", "enum": ["clear", "rainy", "unknown"]},
        "time_of_day": {"type": "string", "enum": ["daytime", "dawn_dusk"]},
        "hazards": {"type": "array", "items": {"type": "string", "enum": ["animal", "debris"]}},
        "lanes": {"type": "integer"},
        "caption": {"type": "string"},
        "abstain": {"type": "boolean"},
    },
    "required": ["weather"],
}
MADE_BY = "frames=aa;label=bb"


@dataclass
class Labels:
    """A partition of labelled frames whose pictures are in OSS."""

    hook: DrivepipeHook
    bucket: str
    table: str
    root: str
    pictures: dict[str, bytes] = field(default_factory=dict)

    def row(self, number: int, **more: Any) -> dict[str, Any]:
        label = {
            "weather": ("rainy", "unknown")[number % 2],
            "time_of_day": "dawn_dusk",
            "hazards": ["animal", "debris"][: number % 3],
            "lanes": number,
            "caption": f"前方 '{number}'",
        }
        return {
            "video_path": f"{self.root}/trips/a.mp4",
            "video_id": "v1",
            "frame_idx": number,
            "frame_time_ms": 500 * number,
            "image_id": f"a_{number:04d}",
            "image_url": f"{self.root}/f/a_{number:04d}.jpg",
            "width": 8,
            "height": 6,
            "label_text": json.dumps(label, ensure_ascii=False),
            "image_embedding": "[1.0]",
            "status": "ok",
            "attempt": 1,
            "fingerprint": f"{MADE_BY};input={number}",
            **more,
        }

    def put(self, rows: list[dict[str, Any]], pictures: bool = True) -> None:
        for row in rows if pictures else ():
            self.put_picture(row["image_url"], row["frame_idx"])
        with self.hook.odps.get_table(self.table).open_writer(
            PARTITION, create_partition=True, overwrite=True
        ) as writer:
            writer.write([[row.get(column.name) for column in COLUMNS] for row in rows])

    def put_picture(self, url: str, shade: int) -> None:
        made = io.BytesIO()
        Image.new("RGB", (8, 6), (shade, 0, 0)).save(made, "JPEG")
        self.pictures[url] = made.getvalue()
        key = url.removeprefix(f"{self.root}/")
        self.hook.oss.put_object(oss.PutObjectRequest(bucket=self.bucket, key=key, body=made.getvalue()))

    def operator(self, **more: Any) -> DatasetExportOperator:
        given = {"label_schema": json.dumps(SCHEMA), "license": "CC-BY-4.0", "output_prefix": "sets", **more}
        return DatasetExportOperator(
            task_id="export",
            bucket=self.bucket,
            source_table=self.table,
            output_table=f"{self.table}_x",
            **given,
        )

    def export(self, run: Run | None = None, **more: Any) -> dict[str, Any]:
        return (run or Run()).execute(self.operator(**more))

    def get(self, key: str) -> bytes:
        found = self.hook.oss.get_object(oss.GetObjectRequest(bucket=self.bucket, key=key))
        return bytes(found.body.content)

    def written(self) -> set[str]:
        pages = self.hook.oss.list_objects_v2_paginator().iter_page(
            oss.ListObjectsV2Request(bucket=self.bucket, prefix="sets/")
        )
        return {found.key for page in pages for found in page.contents or []}

    def pointer(self) -> dict[str, Any]:
        return dict(json.loads(self.get(f"sets/{PARTITION}/manifest.json")))

    def files(self) -> dict[str, bytes]:
        """Read the set as readers do, by the pointer; check that it is whole."""
        pointer, found = self.pointer(), {}
        for file in pointer["files"]:
            content = self.get(f"sets/{PARTITION}/{pointer['folder']}/{file['name']}")
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
            found[file["name"]] = content
        return found


@pytest.fixture
def labels(airflow_connection, bucket, table) -> Labels:
    hook = DrivepipeHook()
    hook.execute_sql(create_table(table, COLUMNS, ("ds",)))
    return Labels(hook, bucket, table, str(hook.oss_root(bucket)))


@pytest.fixture
def control(local_cloud) -> Iterator[Any]:
    yield local_cloud.control
    local_cloud.control.faults.clear()


def test_jsonl_and_parquet_hold_every_sample_in_order_of_the_pictures(labels):
    rows = [labels.row(number) for number in (3, 1, 2, 5, 4)]
    labels.put(rows)
    report = labels.export(shard_size=2)
    assert (report["rows_in"], report["ok"], report["verdict"]) == (5, 5, "completed")
    files = labels.files()
    lines = [json.loads(line) for n in range(3) for line in files[f"samples-0000{n}.jsonl"].splitlines()]
    assert [line["frame_idx"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[1]["label"] == json.loads(labels.row(2)["label_text"])
    assert lines[1].keys() == {*(c.name for c in FRAME_COLUMNS), "fingerprint", "label"}
    assert [file["samples"] for file in labels.pointer()["files"]] == [2, 2, 1, None, None]

    labels.export(format="parquet")
    found = pyarrow.parquet.read_table(io.BytesIO(labels.files()["samples-00000.parquet"]))
    assert {
        name: str(found.schema.field(name).type) for name in ("frame_idx", "label_lanes", "label_hazards")
    } == {
        "frame_idx": "int64",
        "label_lanes": "int64",
        "label_hazards": "string",
    }
    assert found["label_caption"].to_pylist() == [f"前方 '{n}'" for n in range(1, 6)]
    assert found["label_hazards"][1].as_py() == '["animal","debris"]'
    sql = f"SELECT file, samples, sha256, url FROM {labels.table}_x WHERE ds = '20261120'"
    listed = labels.hook.execute_sql(sql)
    assert {row[0] for row in listed} == {"samples-00000.parquet", "card.json", "README.md"}
    for _, _, digest, url in listed:
        assert hashlib.sha256(labels.get(url.removeprefix(f"{labels.root}/"))).hexdigest() == digest


def test_coco_has_attributes_in_the_words_of_bdd100k(labels):
    labels.put([labels.row(number) for number in (1, 2)])
    labels.export(format="coco")
    coco = json.loads(labels.files()["coco.json"])
    assert [image["id"] for image in coco["images"]] == [1, 2]
    assert coco["images"][0] == {
        "id": 1,
        "file_name": "f/a_0001.jpg",
        "coco_url": f"{labels.root}/f/a_0001.jpg",
        "width": 8,
        "height": 6,
        "license": 1,
        "attributes": {"weather": "undefined", "timeofday": "dawn/dusk"},
    }
    assert (coco["annotations"], coco["categories"], coco["licenses"][0]["name"]) == ([], [], "CC-BY-4.0")


def test_shards_of_webdataset_hold_each_picture_beside_its_label(labels, tmp_path):
    labels.put([labels.row(number) for number in range(1, 6)])
    labels.export(format="webdataset", shard_size=3)
    files = labels.files()
    found = {}
    for name in ("samples-00000.tar", "samples-00001.tar"):
        (tmp_path / name).write_bytes(files[name])
        with tarfile.open(tmp_path / name) as tar:
            members = tar.getmembers()
            assert len({member.name for member in members}) == len(members)
            for picture, sample in zip(members[::2], members[1::2], strict=True):
                assert picture.name.replace(".jpg", ".json") == sample.name
                content = json.loads(tar.extractfile(sample).read())
                found[content["image_url"]] = tar.extractfile(picture).read()
    assert found == labels.pictures


def test_what_is_left_out_is_counted_and_the_card_says_what_the_rest_is(labels):
    rows = [
        labels.row(1),
        labels.row(2),
        labels.row(2, frame_idx=7),
        labels.row(4, label_text='{"weather": "mild"}'),
        labels.row(6, label_text="{"),
        labels.row(8, label_text=None),
        labels.row(10, image_url=f"{labels.root}/gone.jpg"),
        labels.row(12, image_url="oss://elsewhere/b/f.jpg"),
        labels.row(14, label_text='{"weather": "clear"}'),
        labels.row(16, status="failed", error_type="refusal"),
        labels.row(18, status="filtered", error_type="too_dark"),
    ]
    labels.put(rows, pictures=False)
    for number in (1, 2):
        labels.put_picture(rows[number - 1]["image_url"], number)
    report = labels.export(where="weather != 'clear' and width = 8")
    counts = [report[name] for name in ("rows_in", "ok", "failed", "filtered", "skipped")]
    assert counts == [11, 2, 6, 3, 0]
    reasons = {
        "schema_violation": 1,
        "invalid_json": 1,
        "no_label": 1,
        "not_found": 1,
        "path_outside_root": 1,
    }
    assert report["failures"] == {"dataset_export": reasons}
    assert report["filtered_reasons"] == {"too_dark": 1, "where": 1, "duplicate": 1}
    files = labels.files()
    card = json.loads(files["card.json"])
    assert card["left_out"] == {**reasons, "too_dark": 1, "where": 1, "duplicate": 1, "refusal": 1}
    assert (card["samples"], card["license"], card["label_schema"]) == (2, "CC-BY-4.0", "wet/v1")
    assert card["where"] == "weather != 'clear' and width = 8"
    assert card["label_values"] == {
        "weather": {"rainy": 1, "unknown": 1},
        "time_of_day": {"dawn_dusk": 2},
        "hazards": {"animal": 2, "debris": 1},
    }
    assert card["made_by"] == {MADE_BY: 2}
    assert card["fingerprint"] == labels.pointer()["folder"]
    assert [file["name"] for file in card["files"]] == ["samples-00000.jsonl"]
    assert "| `weather` | rainy 1, unknown 1 |" in files["README.md"].decode()


def test_a_second_run_reads_no_picture_and_writes_nothing_until_one_has_changed(labels, control):
    rows = [labels.row(number) for number in (1, 2, 3)]
    labels.put(rows)
    labels.export(format="webdataset")
    before = labels.pointer()
    labels.put(rows[::-1], pictures=False)
    with control.counting() as counted:
        report = labels.export(Run(run_id="run2"), format="webdataset")
    assert report["ok"] == 3
    assert (counted.get("oss.PutObject", 0), counted.get("oss.DeleteObject", 0)) == (0, 0)
    assert labels.pointer() == before
    labels.put_picture(rows[0]["image_url"], 99)
    labels.export(Run(run_id="run3"), format="webdataset")
    assert labels.pointer()["previous"] == before["folder"]
    assert labels.files()["samples-00000.tar"].count(labels.pictures[rows[0]["image_url"]]) == 1


@pytest.mark.parametrize("written", [1, 4])
def test_a_run_that_ends_early_leaves_readers_the_old_set(labels, control, written):
    labels.put([labels.row(1)])
    labels.export(shard_size=1)
    old = labels.files()
    labels.put([labels.row(number) for number in (1, 2)])
    control.faults.add("oss.PutObject", "forbidden", after=written)
    with pytest.raises(AuthenticationError):
        labels.export(shard_size=1)
    assert labels.files() == old
    control.faults.clear()
    labels.export(shard_size=1)
    assert labels.pointer()["samples"] == 2
    labels.put([labels.row(number) for number in (1, 2, 3)])
    labels.export(shard_size=1)
    pointer = labels.pointer()
    assert {key.split("/")[2] for key in labels.written()} == {
        pointer["folder"],
        pointer["previous"],
        "manifest.json",
    }


def test_what_does_not_fit_is_said_before_anything_is_written(labels, monkeypatch):
    labels.put([labels.row(1)])
    for given, said in (
        ({"where": "wether = 'rainy'"}, "no 'wether'; did you mean weather"),
        ({"output_prefix": "../sets"}, "output prefix"),
        ({"format": "lance"}, "pip install pylance"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("airflow_provider_drivepipe.operators.dataset_export.find_spec", lambda _: None)
            with pytest.raises(ConfigurationError, match=said):
                labels.export(**given)
    for given, said in (
        ({"format": "csv"}, "no format 'csv'; there are jsonl"),
        ({"format": "coco", "label_schema": None}, "name its label_schema"),
        ({"shard_size": 0}, "shard_size"),
    ):
        with pytest.raises(ValueError, match=said):
            labels.export(**given)
    labels.put([labels.row(1, image_url=f"{labels.root}/sets/{PARTITION}/{'a' * 16}/1.jpg")])
    with pytest.raises(ConfigurationError, match="holds the pictures themselves"):
        labels.export()
    assert len(labels.written()) == 1


REPORT = {
    "partition": PARTITION,
    "prompts": {"label": {"name": "wet-en/v2", "version": "v2", "sha256": "0" * 64, "text": "You …"}},
    "models": {"label": "qwen3-vl-plus"},
}


def check_card(labels):
    card = json.loads(labels.files()["card.json"])
    assert card["prompts"] == {"label": {"name": "wet-en/v2", "version": "v2", "sha256": "0" * 64}}
    assert card["models"] == {"label": "qwen3-vl-plus"}


def test_the_example_names_the_prompt_of_the_task_before(labels):
    labels.put([labels.row(1), labels.row(2, label_text='{"weather": "rainy", "abstain": true}')])
    task = example("export_by_hand").dag.get_task("training_set")
    task.options = replace(
        task.options,
        bucket=labels.bucket,
        output_prefix="sets",
        label_schema=json.dumps(SCHEMA),
        where="lanes = 1",
    )
    task.source_table, task.output_table = labels.table, f"{labels.table}_x"
    before = EmptyOperator(task_id="labels", dag=task.dag)
    before >> task
    run = Run()
    run.context(before)
    run.tasks["labels"].pushed["return_value"] = {**REPORT, "table": labels.table}
    assert run.execute(task)["ok"] == 1
    check_card(labels)


def test_the_card_names_the_prompt_of_the_asset_event(labels):
    labels.put([labels.row(1)])
    asset = AssetReferenceAssetEventDagRun(name="labels", uri="odps://p/labels", extra={})
    event = AssetEventDagRunReferenceResult(
        asset=asset,
        extra={"partition": PARTITION, "report": {**REPORT, "table": labels.table}},
        source_task_id="labels",
        source_dag_id="labels",
        source_run_id="run",
        source_map_index=-1,
        source_aliases=[],
        timestamp=datetime(2026, 11, 20, tzinfo=UTC),
    )
    operator = labels.operator()
    context = {
        **Run().context(operator),
        "triggering_asset_events": TriggeringAssetEventsAccessor.build([event]),
    }
    assert operator.execute(context)["ok"] == 1
    check_card(labels)
    folder = labels.pointer()["folder"]
    labels.export()
    assert labels.pointer()["folder"] == folder, "a run by hand knows no prompts, and writes nothing"
    check_card(labels)
