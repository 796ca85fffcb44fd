"""The export against the local cloud: what a reader finds, whenever it looks, and what is counted."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.exceptions import (
    AuthenticationError,
    ConfigurationError,
    DataGateError,
    ItemQualityError,
    PartitionShrinksError,
)
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import folder_export
from airflow_provider_drivepipe.operators.qa_export import QaExportOperator
from airflow_provider_drivepipe.scenario.options import GateOptions
from tests.integration.operator_context import Run

pytestmark = pytest.mark.slow

COLUMNS = (
    "item_id string, video_path string, mode string, qa_type string, item_number bigint, question string, "
    "options string, answer string, reasoning string, start_ms bigint, end_ms bigint, "
    "blind_answerable boolean, question_hash string, text_hash string, length_ok boolean, status string, "
    "error_stage string, error_type string, error_msg string, attempt bigint, fingerprint string"
)
NAMES = [column.split()[0] for column in COLUMNS.split(", ")]
PARTITION = "ds=20261120"
TYPES = ("causal_linkage", "temporal_event_desc", "scene_description", "event_summary", "open_qa")
FILES = 12
"""Files of a set that has all tasks."""


class Items:
    """A table of items and the videos that they are of; ``put`` replaces its partition."""

    def __init__(self, odps_client, oss_client, bucket, table, netloc):
        self.odps, self.oss, self.bucket, self.table = odps_client, oss_client, bucket, f"{table}_items"
        self.root = f"oss://{netloc}/{bucket}"
        odps_client.create_table(self.table, (COLUMNS, "ds string"))
        for name in ("trips/a/front.mp4", "trips/b 2/前.mp4"):
            self.oss.put_object(oss.PutObjectRequest(bucket=bucket, key=name, body=name.encode()))

    def row(self, number, video="trips/a/front.mp4", **more):
        values = {
            "item_id": f"item-{number}",
            "video_path": f"{self.root}/{video}",
            "qa_type": "open_qa",
            "item_number": number,
            "question": f"Why {number}?",
            "answer": "It brakes.",
            "reasoning": "A van cuts in.",
            "start_ms": 1200,
            "end_ms": 3400,
            "blind_answerable": False,
            "status": "ok",
            "attempt": 1,
        }
        return {**values, **more}

    def all_types(self):
        """Return rows of all eight types, the second video's among them."""
        return [
            self.row(1, qa_type="mcq", options='["It turns.", "It\\nbrakes."]', answer="B"),
            self.row(2, qa_type="bcq", answer="Yes. It does."),
            self.row(3, qa_type="temporal_localization", answer=None),
            *(self.row(4 + n, "trips/b 2/前.mp4", qa_type=kind) for n, kind in enumerate(TYPES)),
        ]

    def put(self, rows):
        table = self.odps.get_table(self.table)
        table.delete_partition(PARTITION, if_exists=True)
        table.create_partition(PARTITION)
        with table.open_writer(PARTITION) as writer:
            for row in rows:
                writer.write([row.get(name) for name in NAMES])

    def export(self, run=None, **more):
        options = {"bucket": self.bucket, "output_prefix": "sets", "license": "CC-BY-4.0", **more}
        operator = QaExportOperator(
            task_id="qa_export",
            scenario="s",
            source_table=self.table,
            output_table=f"{self.table}_x",
            **options,
        )
        return (run or Run()).execute(operator)

    def objects(self):
        pages = self.oss.list_objects_v2_paginator().iter_page(
            oss.ListObjectsV2Request(bucket=self.bucket, prefix="sets/")
        )
        return {found.key: found.etag for page in pages for found in page.contents or []}

    def get(self, key):
        return self.oss.get_object(oss.GetObjectRequest(bucket=self.bucket, key=key)).body.content

    def pointer(self):
        return json.loads(self.get(f"sets/{PARTITION}/manifest.json"))

    def download(self, folder):
        """Read the set as readers do: by the pointer; check that it is whole."""
        pointer = self.pointer()
        for file in pointer["files"]:
            content = self.get(f"sets/{PARTITION}/{pointer['folder']}/{file['name']}")
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
            folder.mkdir(exist_ok=True)
            (folder / file["name"]).write_bytes(content)
        return pointer

    def answers(self, folder):
        """Return the answers in the files that readers find."""
        self.download(folder)
        lines = (folder / "items.jsonl").read_text().splitlines()
        return {json.loads(line)["answer"] for line in lines}


@pytest.fixture
def items(odps_client, oss_client, bucket, table, airflow_connection):
    netloc = DrivepipeHook().oss_settings.require_oss().netloc
    return Items(odps_client, oss_client, bucket, table, netloc)


@pytest.fixture
def control(local_cloud):
    yield local_cloud.control
    local_cloud.control.faults.clear()


def validate(folder):
    command = [Path(sys.executable).with_name("tao-daft"), "validate", "tao-vl-reason-v1.0", "--path", folder]
    return subprocess.run([*command, "--strict"], capture_output=True, text=True)


def test_what_is_downloaded_beside_the_videos_passes_tao_daft(items, tmp_path):
    items.put(items.all_types())
    report = items.export()
    assert (report["rows_in"], report["ok"], report["verdict"]) == (8, 8, "completed")
    pointer = items.download(tmp_path / "set")
    assert (pointer["items"], len(pointer["files"]), pointer["previous"]) == (8, FILES, None)
    assert pointer["video_root"] == items.root
    for name in ("trips/a/front.mp4", "trips/b 2/前.mp4"):
        video = tmp_path / "set" / name
        video.parent.mkdir(parents=True)
        video.write_bytes(items.get(name))
    done = validate(tmp_path / "set")
    assert done.returncode == 0, done.stdout
    assert "10" in done.stdout
    video.unlink()
    assert "media not found" in validate(tmp_path / "set").stdout


def test_the_table_has_a_row_for_each_file(items):
    items.put(items.all_types())
    items.export()
    columns = "file, task, items, size_bytes, sha256, url"
    rows = DrivepipeHook().execute_sql(f"SELECT {columns} FROM {items.table}_x WHERE ds='20261120'")
    assert {row[0]: row[1] for row in rows}["mcq_openended.json"] == "mcq_openended"
    assert len(rows) == FILES
    for file, _, _, size, digest, url in rows:
        content = items.get(url.removeprefix(f"{items.root}/"))
        assert url.endswith(f"/{file}")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, digest)


def test_what_cannot_or_shall_not_be_exported_is_counted_and_is_in_no_file(items, monkeypatch):
    monkeypatch.setattr(folder_export, "_BATCH", 3)
    items.put(
        [
            items.row(1, text_hash="like item 1"),
            items.row(2, "trips/b 2/前.mp4", blind_answerable=True),
            items.row(4, text_hash="like item 1"),
            items.row(3, text_hash="like item 1"),
            items.row(5, qa_type="bcq", answer="Not visible in the video."),
            items.row(6, "trips/gone.mp4"),
            items.row(7, "trips/gone.mp4"),
            items.row(8, "trips/../secret.mp4"),
            items.row(9, video_path="oss://elsewhere/bucket/trips/a/front.mp4"),
            items.row(10, status="failed", error_stage="qa", error_type="refusal"),
            items.row(11, status="filtered", error_stage="filter", error_type="out_of_domain"),
            items.row(12, status="skipped", error_stage="qa", error_type="budget"),
        ]
    )
    run = Run()
    report = items.export(run, checks=("blind_answerable", "duplicate"), exclude=("duplicate",))
    counts = [report[name] for name in ("rows_in", "ok", "failed", "filtered", "skipped")]
    assert counts == [12, 2, 6, 3, 1]
    assert report["stages"] == {
        "qa_export": {"rows_in": 9, "ok": 2, "failed": 5, "filtered": 2, "skipped": 0}
    }
    reasons = {"schema_violation": 1, "not_found": 2, "path_traversal": 1, "path_outside_root": 1}
    assert report["failures"] == {"qa_export": reasons}
    assert report["filtered_reasons"] == {"out_of_domain": 1, "duplicate": 2}
    assert report["skipped_reasons"] == {"budget": 1}
    assert report["verdict"] == "completed_with_failures"
    sample = run.tasks["qa_export"].pushed["failures_sample"]["inputs"]
    assert {"item-5", "item-6", "item-7", "item-8", "item-9"} == {
        each["input"].split()[-1] for each in sample
    }
    folder = items.pointer()["folder"]
    lines = items.get(f"sets/{PARTITION}/{folder}/items.jsonl").decode().splitlines()
    exported = {line["item_id"]: line["flags"] for line in map(json.loads, lines)}
    assert exported == {"item-1": [], "item-2": ["blind_answerable"]}


def test_a_second_run_writes_nothing_whatever_the_order_of_the_rows(items, control):
    items.put(items.all_types())
    items.export()
    before = items.objects()
    items.put(reversed(items.all_types()))
    with control.counting() as counted:
        report = items.export(Run(run_id="run2"))
    assert report["ok"] == 8
    assert (counted.get("oss.PutObject", 0), counted.get("oss.DeleteObject", 0)) == (0, 0)
    assert items.objects() == before


def test_a_file_that_somebody_deleted_comes_back(items, tmp_path):
    items.put(items.all_types())
    items.export()
    key = f"sets/{PARTITION}/{items.pointer()['folder']}/mcq.json"
    items.oss.delete_object(oss.DeleteObjectRequest(bucket=items.bucket, key=key))
    items.export()
    assert len(items.download(tmp_path)["files"]) == FILES


def test_readers_keep_the_set_before_and_no_older_one(items):
    folders = []
    for answer in ("one", "two", "three"):
        items.put([items.row(1, answer=answer)])
        items.export()
        pointer = items.pointer()
        assert pointer["previous"] == (folders[-1] if folders else None)
        folders.append(pointer["folder"])
        assert {key.split("/")[2] for key in items.objects()} == {*folders[-2:], "manifest.json"}


@pytest.mark.parametrize("written", [0, 1, FILES - 1, FILES])
def test_a_run_that_ends_early_leaves_readers_the_old_set(items, control, tmp_path, written):
    items.put([items.row(1, answer="old")])
    items.export()
    items.put(items.all_types())
    control.faults.add("oss.PutObject", "forbidden", after=written)
    with pytest.raises(AuthenticationError):
        items.export()
    assert items.answers(tmp_path) == {"old"}
    control.faults.clear()
    items.put([items.row(1, answer="new")])
    items.export()
    assert items.answers(tmp_path) == {"new"}
    pointer = items.pointer()
    assert {key.split("/")[2] for key in items.objects()} == {
        pointer["folder"],
        pointer["previous"],
        "manifest.json",
    }


CHILD = """
import sys
from airflow_provider_drivepipe.operators.qa_export import QaExportOperator
from tests.integration.operator_context import Run

table, bucket = sys.argv[1:]
Run(run_id="killed").execute(
    QaExportOperator(
        task_id="t", source_table=table, output_table=f"{table}_x", bucket=bucket, output_prefix="sets"
    )
)
"""


def test_a_run_that_is_killed_before_the_pointer_leaves_readers_the_old_set(items, control, tmp_path):
    items.put([items.row(1, answer="old")])
    items.export(license="")
    items.put(items.all_types())
    control.faults.add("oss.PutObject", "latency", seconds=60, after=FILES - 1)
    with control.counting() as counted:
        child = subprocess.Popen([sys.executable, "-c", CHILD, items.table, items.bucket])
        began = control.stats().get("oss.PutObject", 0)
        while control.stats().get("oss.PutObject", 0) < began + FILES:
            assert child.poll() is None
            time.sleep(0.05)
        child.kill()
        child.wait()
    assert counted["oss.PutObject"] == FILES, "all files, and no pointer"
    control.faults.clear()
    assert items.answers(tmp_path) == {"old"}
    items.export(Run(run_id="next"), license="")
    assert len(items.download(tmp_path)["files"]) == FILES


def test_a_set_that_would_lose_most_of_its_items_is_not_published(items, tmp_path):
    items.put(items.all_types())
    items.export()
    items.put([])
    with pytest.raises(PartitionShrinksError, match=r"holds 8 ok rows, and would hold 0\. Nothing was"):
        items.export()
    assert len(items.download(tmp_path)["files"]) == FILES
    report = items.export(Run(params={"allow_shrink": True}))
    assert (report["verdict"], items.pointer()["files"]) == ("empty_input", [])
    sql = f"SELECT COUNT(*) FROM {items.table}_x WHERE ds='20261120'"
    assert DrivepipeHook().execute_sql(sql) == [[0]]


CHECKS = ("blind_answerable", "duplicate", "length", "balance")


def test_quality_is_in_the_report_and_in_the_manifest_by_task_and_answer(items):
    mcq = {"qa_type": "mcq", "options": '["It turns.", "It brakes.", "It parks."]'}
    items.put(
        [
            items.row(1, blind_answerable=True, length_ok=False),
            items.row(2, length_ok=True),
            *(items.row(3 + n, **mcq, answer=letter) for n, letter in enumerate("BAB")),
            items.row(6, qa_type="bcq", answer="否。", blind_answerable=True),
            items.row(7, status="failed", blind_answerable=True),
        ]
    )
    quality = items.export(checks=CHECKS)["quality"]
    assert (quality["items"], quality["unflagged"], quality["share"]) == (6, 4, 0.6667)
    assert {task: of["items"] for task, of in quality["tasks"].items()} == {"open_qa": 2, "mcq": 3, "bcq": 1}
    flags = {task: of["flags"] for task, of in quality["tasks"].items()}
    assert flags["open_qa"]["blind_answerable"] == {"items": 1, "share": 0.5}
    assert flags["open_qa"]["length"] == {"items": 1, "share": 0.5}
    assert flags["mcq"]["blind_answerable"] == {"items": 0, "share": 0.0}
    assert quality["answers"] == {"bcq": {"No": 1, "Yes": 0}, "mcq": {"A": 1, "B": 2, "C": 0}}
    assert items.pointer()["quality"] == quality
    assert items.export(checks=("length",))["quality"]["unflagged"] == 5
    assert items.pointer()["quality"].keys() == {"items", "unflagged", "share", "tasks"}
    assert items.export()["quality"] == {}


def test_a_set_with_too_many_flagged_items_is_not_published(items, tmp_path):
    items.put([items.row(1, answer="old")])
    items.export(checks=CHECKS)
    bad = [items.row(2, blind_answerable=True, answer="new"), items.row(3, length_ok=False)]
    items.put([items.row(1, answer="new"), *bad, items.row(4)])
    said = r"^50\.0% of 4 items have no flag, at least 50\.1% .*1 blind_answerable \(1 open_qa\), 1 length \("
    with pytest.raises(ItemQualityError, match=said):
        items.export(checks=CHECKS, min_item_quality=0.501)
    assert items.answers(tmp_path) == {"old"}
    assert items.export(checks=CHECKS, exclude=("length",), min_item_quality=0.501)["ok"] == 3
    assert items.export(checks=CHECKS, min_item_quality=0.5)["ok"] == 4
    assert "new" in items.answers(tmp_path)


def test_gates_speak_when_the_rest_is_published(items):
    items.put([items.row(1), items.row(2, "trips/gone.mp4"), items.row(3, status="failed")])
    with pytest.raises(DataGateError, match=r"1 of 2 items .*50.0%, the limit is 40.0%.*not_found"):
        items.export(gate=GateOptions(max_failure_rate=0.4))
    assert items.pointer()["items"] == 1
    with pytest.raises(DataGateError, match="1 items exported, at least 2"):
        items.export(gate=GateOptions(min_rows=2))


def test_what_does_not_fit_is_said_before_anything_is_written(items, table):
    with pytest.raises(ConfigurationError, match="lacks language_ok"):
        items.export(checks=("language",))
    with pytest.raises(ValueError, match="no check is on that flags items as 'duplicate'"):
        items.export(exclude=("duplicate",))
    with pytest.raises(ValueError, match="no check 'sharpness'; there are blind_answerable, duplicate, "):
        items.export(checks=("sharpness",))
    with pytest.raises(ConfigurationError, match="output prefix"):
        items.export(output_prefix="../sets")
    with pytest.raises(ValueError, match="name a bucket"):
        items.export(bucket="")
    assert items.objects() == {}
    items.put([items.row(1)])
    items.export()
    mine, items.table = items.table, f"{table}_others"
    items.odps.create_table(items.table, (COLUMNS, "ds string"))
    items.put([items.row(1)])
    with pytest.raises(ConfigurationError, match=f"holds {mine}_x ds=20261120; choose another prefix"):
        items.export()
    key = f"sets/{PARTITION}/manifest.json"
    items.oss.put_object(oss.PutObjectRequest(bucket=items.bucket, key=key, body=b"{}"))
    with pytest.raises(ConfigurationError, match="something else's"):
        items.export()
