"""From videos to training files: the whole family against the local cloud."""

from __future__ import annotations

import json
from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from maxcompute_local.samples.incident_videos import drawn_video
from tests.integration.operator_context import Run
from tests.integration.scenario_run import ScenarioRun

SCENARIO = """\
pipeline: reasoning
scenario_name: {name}
input_shape: oss_prefix
targets: [manifest, reasoning-annotation]
oss_bucket: {bucket}
oss_prefix: videos/
video_input_table: {name}_manifest
vlm_model: qwen3-vl-plus
llm_model: qwen-plus
reasoning:
  video_as: {video_as}
"""


@pytest.fixture
def videos(oss_client, bucket):
    bodies = {kind: drawn_video(kind) for kind in ("drive", "stop", "garden")}
    bodies["corrupt"] = b"no video at all"
    for name, body in bodies.items():
        request = oss.PutObjectRequest(bucket=bucket, key=f"videos/{name}.mp4", body=body)
        oss_client.put_object(request)
    return bucket


def scenario_of(folder: Path, table: str, bucket: str, video_as: str = "video"):
    file = folder / "reasoning.yaml"
    file.write_text(SCENARIO.format(name=table, bucket=bucket, video_as=video_as))
    return load_scenario(file)


@pytest.mark.parametrize("video_as", ["video", "frames"])
def test_videos_become_training_files(airflow_connection, videos, table, tmp_path, oss_client, video_as):
    run = ScenarioRun(Run())
    reports = run.execute(scenario_of(tmp_path, table, videos, video_as))
    for task, report in reports.items():
        print(task, json.dumps({k: report[k] for k in ("rows_in", "ok", "failed", "filtered", "skipped", "failures", "stages", "filtered_reasons")}))
    hook = DrivepipeHook()
    for row in hook.execute_sql(f"SELECT * FROM {table}_qa_items WHERE ds='20261120'"):
        print(row)
    again = ScenarioRun(Run(run_id="r2")).execute(scenario_of(tmp_path, table, videos, video_as))
    print({task: report["tokens"] for task, report in again.items()})
    for t in ("video_filter", "highlights"):
        for row in hook.execute_sql(f"SELECT * FROM {table}_{t} WHERE ds='20261120'"):
            print("##", row)
    raise AssertionError
