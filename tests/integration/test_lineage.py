"""What Airflow's OpenLineage provider gets of tasks that have run against the local cloud."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import alibabacloud_oss_v2 as oss
import pytest
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.providers.openlineage.plugins.listener import get_openlineage_listener
from airflow.sdk.log import mask_secret
from airflow.utils.state import TaskInstanceState
from openlineage.client import OpenLineageClient

from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import MaxFrameFrameExtractOperator, OssManifestOperator
from airflow_provider_drivepipe.scenario.options import GateOptions
from tests.integration.operator_context import Run
from tests.unit.video_samples import write_video


def lineage(operator, state=TaskInstanceState.SUCCESS):
    """Return what the provider makes of a task, as its listener asks for it."""
    return ExtractorManager().extract_metadata(SimpleNamespace(run_id="run1"), operator, state, None)


def facets(dataset):
    """Return name, columns and number of rows of a dataset."""
    schema = dataset.facets.get("schema")
    statistics = getattr(dataset, "outputFacets", {}).get("outputStatistics")
    columns = {field.name: field.type for field in schema.fields} if schema else {}
    return dataset.name, columns, statistics.rowCount if statistics else None


def count(hook, table):
    [[rows]] = hook.execute_sql(f"SELECT COUNT(*) FROM {table} WHERE ds='20261120'")
    return rows


@pytest.fixture
def videos(oss_client, bucket, tmp_path):
    """A video of two seconds and its copy, one that is none, an empty one, and a text file."""
    video = write_video(tmp_path / "v.mp4", frames=50).read_bytes()
    none = {"b.mp4": b"no video" * 99, "c.mp4": b"", "readme.txt": b"x"}
    for key, body in {"a.mp4": video, "copy.mp4": video, **none}.items():
        oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key=f"trips/{key}", body=body))
    return bucket


def manifest(bucket, table, **more):
    return OssManifestOperator(
        task_id="manifest", bucket=bucket, prefix="trips/", output_table=f"{table}_m", **more
    )


def test_tables_with_columns_and_rows(airflow_connection, videos, table):
    listing = manifest(videos, table, incremental=True)
    frames = MaxFrameFrameExtractOperator(
        task_id="frames",
        source_table=f"{table}_m",
        output_table=f"{table}_f",
        bucket=videos,
        deferrable=False,
        poll_interval=0.2,
        gate=GateOptions(max_failure_rate=0),
    )
    run, hook = Run(), DrivepipeHook()
    run.execute(listing)
    made = lineage(listing)
    assert [(each.namespace, each.name) for each in made.inputs] == [(f"oss://{videos}", "trips")]
    [written] = made.outputs
    name, columns, rows = facets(written)
    assert (written.namespace, name) == ("odps://default", f"{table}_m")
    assert rows == count(hook, name) == 3
    assert {"video_path": "string", "size_bytes": "bigint", "ds": "string"}.items() <= columns.items()

    # Its gate fails it, and the partition is published all the same.
    with pytest.raises(DataGateError):
        run.execute(frames)
    made = lineage(frames, TaskInstanceState.FAILED)
    [read] = made.inputs
    assert facets(read) == (f"{table}_m", columns, None)
    written, pictures = made.outputs
    name, columns, rows = facets(written)
    assert name == f"{table}_f"
    assert rows == count(hook, name) == 4
    assert {"image_url": "string", "frame_idx": "bigint", "ds": "string"}.items() <= columns.items()
    assert (pictures.namespace, pictures.name) == (f"oss://{videos}", f"{table}_f")


def test_a_task_that_fails_before_it_publishes_has_no_rows(airflow_connection, bucket, table):
    listing = manifest(bucket, table, later_models=("no-such-model",))
    with pytest.raises(ConfigurationError):
        Run().execute(listing)
    [written] = lineage(listing, TaskInstanceState.FAILED).outputs
    assert facets(written) == (f"{table}_m", {}, None)


def test_the_error_message_shows_no_secret(monkeypatch, tmp_path):
    file = tmp_path / "events.jsonl"
    transport = {"transport": {"type": "file", "log_file_path": str(file), "append": True}}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport["transport"]))
    listener, secret = get_openlineage_listener(), f"key-{uuid4().hex}"
    # As in a task: the provider is loaded first, and then the task reads its connection.
    monkeypatch.setattr(listener, "adapter", OpenLineageAdapter(OpenLineageClient(config=transport)))
    mask_secret(secret)
    task = manifest("bucket", "trips")
    made = lineage(task, TaskInstanceState.FAILED)
    try:
        raise ConfigurationError(f"signed with {secret}")
    except ConfigurationError as error:
        listener.adapter.fail_task(
            str(uuid4()),
            "dag.task",
            datetime.now(UTC).isoformat(),
            made,
            None,
            None,
            None,
            None,
            None,
            error=error,
        )
    [event] = map(json.loads, file.read_text().splitlines())
    said = event["run"]["facets"]["errorMessage"]
    assert said["message"] == "signed with ***"
    assert secret not in file.read_text()
    assert "***" in said["stackTrace"]
