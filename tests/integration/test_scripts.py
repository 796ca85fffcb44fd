"""Standalone scripts against the local cloud: the rows that the DAG of the same scenario gives."""

import importlib.util
import re
import subprocess
import sys

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.pipelines.driving.scripts import scripts
from airflow_provider_drivepipe.pipelines.registry import plan
from maxcompute_local.settings import MODEL_PROJECT, PROJECT, REGION, ROLE_ARN
from tests.integration.scenario_run import ScenarioRun, example
from tests.unit.image_samples import encoded, scene
from tests.unit.video_samples import write_video

pytestmark = pytest.mark.slow

PARTITION = "ds=20261120"
WRITES = ("VIDEO_INPUT_TABLE", "FRAMES_TABLE", "PREPARED_TABLE", "OUTPUT_TABLE")
NOT_COMPARED = {"fingerprint"}
"""Scripts know nothing of earlier runs."""
IMAGES = {"image_url", "prepared_url"}
"""A picture's folder is called after its configuration, of which a script does not know the bucket."""

MORE = {
    "driving_demo inline": {
        "targets": ["manifest", "frame-extraction", "image-preparation", "labeling", "label-embedding"],
        "prepared_images": "inline",
        "image_longest_side": 48,
        "label_columns": True,
        "frame_filters": ["near_duplicate"],
        "partition_fixed": {"region": "east"},
        "label_embedding_model": "text-embedding-v4",
        "embedding_model": None,
        "embedding_dim": None,
    }
}
"""Further scenarios: an example with other keys."""


@pytest.fixture
def put(oss_client, bucket):
    def put(key, body):
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=body))

    return put


@pytest.fixture
def inputs(airflow_connection, put, bucket, tmp_path):
    """A video, images and clips, and of each one that cannot be worked on; return a maker of their tables."""
    hook = DrivepipeHook()
    root = hook.oss_root(bucket)
    put("trips/front.mp4", write_video(tmp_path / "v.mp4", frames=50).read_bytes())
    put("trips/text.mp4", b"no video at all " * 9)
    put("trips/notes.txt", b"x")
    put("trips/empty.mp4", b"")
    for key in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        put(key, encoded(scene(len(key) + ord(key[0]), (96, 64))))
    put("cut.jpg", encoded(scene(4))[:-200])
    keys = ("a/1.jpg", "a/1.jpg", "b/1.jpg", "cut.jpg", "gone.jpg")
    images = [[key, f"{root}/{key}", 7] for key in keys]
    images.append(["foreign", f"oss://elsewhere.test/{bucket}/a/1.jpg", None])
    videos = [[f"{root}/trips/{name}", name] for name in ("front.mp4", "text.mp4")]
    texts = ["fog", "fog", "rain", " ", None, "snow"]
    tables = {
        "video": ("video_path STRING, etag STRING", videos),
        "clip_dir": (
            "clip_id STRING, clip_dir STRING, start_ms BIGINT, end_ms BIGINT, trip STRING",
            [[name, name, None, None, "t"] for name in ("a", "b", "gone")],
        ),
        "image": ("image_id STRING, image_url STRING, camera BIGINT", images),
        "labeled_image": (
            "image_id STRING, image_url STRING, camera BIGINT, label_text STRING",
            [[*image, text] for image, text in zip(images, texts, strict=True)],
        ),
    }

    def make(scenario):
        kind = scenario.input_shape.removesuffix("_table")
        if kind in tables:
            columns, rows = tables[kind]
            hook.execute_sql(f"CREATE TABLE {scenario.source_table} ({columns}) PARTITIONED BY (ds STRING)")
            source = hook.odps.get_table(scenario.source_table)
            with source.open_writer(PARTITION, create_partition=True) as writer:
                writer.write(rows)

    return make


@pytest.fixture
def environment(local_cloud):
    return {
        "ODPS_ACCESS_ID": local_cloud.access_key_id,
        "ODPS_ACCESS_KEY": local_cloud.access_key_secret,
        "ODPS_PROJECT": PROJECT,
        "ODPS_ENDPOINT": local_cloud.odps_endpoint,
        "OSS_ACCESS_KEY_ID": local_cloud.access_key_id,
        "OSS_ACCESS_KEY_SECRET": local_cloud.access_key_secret,
        "OSS_ENDPOINT": local_cloud.oss_endpoint,
        "OSS_REGION": REGION,
        "OSS_ROLE_ARN": ROLE_ARN,
        "MODEL_PROJECT": MODEL_PROJECT,
        "PARTITION_DS": PARTITION.removeprefix("ds="),
    }


def own_tables(scenario):
    """What the scripts' variables say, but tables that are written have other names than the DAG's."""
    settings = {s.name: s.value for script in scripts(scenario) for s in script.settings}
    outputs = {task.output_table.name for task in plan(scenario).tasks}
    return {name: f"{value}_s" if value in outputs else value for name, value in settings.items() if value}


def rows_of(hook, table):
    """The rows of a table but for what differs by nature, in an order of their own."""
    found = hook.odps.get_table(table)
    found.reload()
    names = sorted(c.name for c in found.table_schema.simple_columns if c.name not in NOT_COMPARED)
    rows = hook.execute_sql(f"SELECT {', '.join(names)} FROM {table} WHERE ds = '20261120'")
    return sorted((dict(zip(names, map(plain, names, row), strict=True)) for row in rows), key=repr)


def plain(name, cell):
    if name not in IMAGES or not cell:
        return cell
    return re.sub(f"(/{PARTITION}.*?)/[0-9a-f]{{16}}/", r"\1/", cell, count=1)


@pytest.mark.parametrize(
    "name",
    [
        "driving_demo",
        "driving_split",
        "frames_only",
        "clip_labels",
        "image_features",
        "image_labels",
        "labeled_images",
        *MORE,
    ],
)
def test_scripts_give_the_rows_of_the_dag(name, inputs, environment, bucket, table, tmp_path, monkeypatch):
    scenario = example(name.split()[0], bucket, table, workers=2, **MORE.get(name, {}))
    inputs(scenario)
    ScenarioRun().execute(scenario)
    variables = {**environment, **own_tables(scenario)}
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    hook = DrivepipeHook()
    for script, task in zip(scripts(scenario), plan(scenario).tasks, strict=True):
        file = tmp_path / script.name
        file.write_text(script.text)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        monkeypatch.setitem(sys.modules, file.stem, module := importlib.util.module_from_spec(spec))
        spec.loader.exec_module(module)
        for _ in range(2 if task.is_listing else 1):  # the second run replaces the partition
            module.main(hook.odps)
        made = rows_of(hook, task.output_table.name)
        assert rows_of(hook, f"{task.output_table.name}_s") == made, task.task_id
        assert task.is_listing or {row["status"] for row in made} >= {"ok", "failed"}


def test_a_script_runs_where_this_package_is_not(inputs, environment, bucket, table, tmp_path):
    scenario = example("manifest_only", bucket, table)
    ScenarioRun().execute(scenario)
    [script] = scripts(scenario)
    file = tmp_path / script.name
    file.write_text(script.text)
    code = "import runpy, sys; sys.modules['airflow_provider_drivepipe'] = None; "
    code += f"runpy.run_path({str(file)!r}, run_name='__main__')"
    variables = {**environment, **own_tables(scenario)}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hook = DrivepipeHook()
    found = rows_of(hook, scenario.video_input_table)
    assert len(found) == 2
    assert rows_of(hook, f"{scenario.video_input_table}_s") == found
    nothing = subprocess.run(
        [sys.executable, "-c", code], env={**variables, "OSS_PREFIX": "typo/"}, capture_output=True, text=True
    )
    assert nothing.returncode == 1
    assert "nothing was written" in nothing.stderr
    assert rows_of(hook, f"{scenario.video_input_table}_s") == found
