"""Plans and SQL of the example scenarios, compared with files.

What changes a plan or a statement shows as a difference of ``tests/golden/``. Where the change is wanted,
``DRIVEPIPE_WRITE_GOLDEN=1`` writes the files anew, for a review of their diff.
"""

import difflib
import json
import os
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest
import yaml

from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from tests.integration.golden_sql import written
from tests.integration.operator_context import Run
from tests.unit.image_samples import encoded, scene
from tests.unit.video_samples import write_video

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
NOT_HERE = ("reasoning_demo", "video_qa_demo")
"""Their plans are texts of prompts, which have tests of their own, and their tasks take minutes."""
EXAMPLES = [
    file for file in sorted((TESTS.parent / "dags" / "scenarios").glob("*.yaml")) if file.stem not in NOT_HERE
]
WRITES = os.environ.get("DRIVEPIPE_WRITE_GOLDEN") == "1"
WITH_REMOVED_ROWS = ("clip_labels", "image_labels")
"""Scenarios whose first unit goes and comes back: one makes many rows of a unit, one makes one of one."""

examples = pytest.mark.parametrize("file", EXAMPLES, ids=lambda path: path.stem)


def compare(name, text):
    golden = TESTS / "golden" / name
    if WRITES:
        golden.write_text(text)
    lines = golden.read_text().splitlines(), text.splitlines()
    difference = "\n".join(difflib.unified_diff(*lines, name, "now", lineterm=""))
    assert not difference, difference


@examples
def test_plan(file):
    found = plan(load_scenario(file)).to_json()
    text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    compare(f"{file.stem}.plan.json", f"{text}\n")


class Inputs:
    """What the scenarios read, in the bucket and in tables. The last unit of each cannot be worked on."""

    def __init__(self, hook, client, bucket, folder):
        self.hook, self.client, self.bucket = hook, client, bucket
        self.put("trips/front.mp4", write_video(folder / "v.mp4", frames=50).read_bytes())
        for key in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
            self.put(key, encoded(scene(len(key))))
        root = hook.oss_root(bucket)
        images = [[key, f"{root}/{key}", 7] for key in ("a/1.jpg", "b/1.jpg", "gone.jpg")]
        image = "image_id STRING, image_url STRING, camera BIGINT"
        labels = [[*image, text] for image, text in zip(images, ("fog", "rain", None), strict=True)]
        clips = [[name, name, None, None] for name in ("a", "b", "gone")]
        videos = [[f"{root}/trips/{name}", name] for name in ("front.mp4", "text.mp4")]
        self.tables = {
            "driving_demo_manifest": ("video_path STRING, etag STRING", videos),
            "my_clips": ("clip_id STRING, clip_dir STRING, start_ms BIGINT, end_ms BIGINT", clips),
            "my_images": (image, images),
            "my_labeled_images": (f"{image}, label_text STRING", labels),
        }

    def put(self, key, body):
        self.client.put_object(oss.PutObjectRequest(bucket=self.bucket, key=key, body=body))

    def give(self, table, chosen):
        """Make a table that holds the chosen units."""
        columns, rows = self.tables[table]
        self.hook.execute_sql(f"DROP TABLE IF EXISTS {table}")
        self.hook.execute_sql(f"CREATE TABLE {table} ({columns}) PARTITIONED BY (ds STRING)")
        where = {"partition": "ds=20261120", "create_partition": True}
        with self.hook.odps.get_table(table).open_writer(**where) as writer:
            writer.write(rows[chosen])


@pytest.fixture
def inputs(airflow_connection, oss_client, bucket, tmp_path):
    """The tables have the names of the examples: nothing that is made here outlives the test."""
    hook = DrivepipeHook()
    before = set(hook.list_tables(""))
    yield Inputs(hook, oss_client, bucket, tmp_path)
    for name in set(hook.list_tables("")) - before:
        hook.execute_sql(f"DROP TABLE {name}")


@examples
def test_sql(file, inputs, bucket, tmp_path):
    text = file.read_text().replace("drivepipe-demo", bucket)
    source = yaml.safe_load(text).get("source_table")
    if "label_schema" in text:
        missing, params = text, {"label_prompt": "In other words"}
    elif "embedding_dim" in text:
        missing, params = text.replace("embedding_dim: 256", "embedding_dim: 64"), {}
    else:
        missing, params = text, {"reprocess": "all"}
    good, everything = slice(-1), slice(None)
    runs = [
        ("run 1, everything is new", text, good, {}),
        ("run 2, there is nothing to do", text, good, {}),
        ("run 3, a further unit fails, and results are missing", missing, everything, params),
    ]
    if file.stem in WITH_REMOVED_ROWS:
        runs += [
            ("run 4, a unit is gone", missing, slice(1, None), {**params, "allow_shrink": True}),
            ("run 5, the unit is back", missing, everything, params),
        ]
    said = {}
    for number, (title, yaml_text, chosen, run_params) in enumerate(runs):
        if source:
            inputs.give(source, chosen)
        if number == 2:
            inputs.put("trips/text.mp4", b"no video at all")
        copy = tmp_path / file.name
        copy.write_text(yaml_text)
        run = Run(params=run_params)
        for task in build_dag(load_scenario(copy)).topological_sort():
            # Nobody listens to asset events here.
            task.deferrable, task.poll_interval, task.outlets = False, 0.05, []
            # Its statements grow with label schemas, and have a test of their own.
            task.report_of = None
            statements = said[title, task.task_id] = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(DrivepipeHook, "execute_sql", recorded(statements))
                run.execute(task)
    compare(f"{file.stem}.sql", written(said, bucket))


def recorded(statements, real=DrivepipeHook.execute_sql):
    def execute_sql(hook, sql, *args, **kwargs):
        statements.append(sql)
        return real(hook, sql, *args, **kwargs)

    return execute_sql
