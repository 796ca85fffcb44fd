"""The example DAG's task against the local cloud."""

import pytest
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_drivepipe.exceptions import ConfigurationError
from tests.example_dags import example
from tests.integration.operator_context import Run

WEEK = [f"202611{day}" for day in range(16, 23)]


@pytest.fixture
def weekly(monkeypatch, odps_client, table):
    module = example("weekly_training_set")
    monkeypatch.setattr(module, "LABELS", table)
    monkeypatch.setattr(module, "TRAINING_SET", f"{table}_weekly")
    odps_client.execute_sql(
        f"CREATE TABLE {table} (video_id STRING, frame_idx BIGINT, image_url STRING, label_text STRING, "
        "image_embedding STRING, status STRING, fingerprint STRING) PARTITIONED BY (ds STRING)"
    )
    return module


def label(odps_client, table, day, *statuses):
    rows = ", ".join(f"('v', {i}, 'oss://x', 'l', '[]', '{s}', 'f')" for i, s in enumerate(statuses))
    odps_client.execute_sql(f"INSERT OVERWRITE TABLE {table} PARTITION (ds='{day}') VALUES {rows}")


def write_week(module, week):
    task = module.dag.get_task("write_week")
    context = Run().context(task) | {"params": {"week": week}, "outlet_events": OutletEventAccessors()}
    context["ti"].task = task
    [asset] = task.outlets
    return module.write_week.function(**context), context["outlet_events"][asset]


@pytest.mark.usefixtures("airflow_connection")
def test_the_ok_rows_of_seven_days(odps_client, table, weekly):
    for day in ["20261115", *WEEK, "20261123"]:
        label(odps_client, table, day, "ok", "failed", "ok")
    report, event = write_week(weekly, "20261116")
    assert report["rows_per_day"] == dict.fromkeys(WEEK, 2)
    assert report["ok"] == 14
    assert event.partition_keys == {"20261116"}
    assert event.extra == {"partition": "week=20261116", "report": report}

    label(odps_client, table, "20261118", "ok", "ok", "ok")
    report, _ = write_week(weekly, "20261116")
    assert report["rows_per_day"]["20261118"] == 3
    with odps_client.execute_sql(f"SELECT week, ds, frame_idx FROM {table}_weekly").open_reader() as reader:
        rows = [tuple(record.values) for record in reader]
    assert len(rows) == 15
    assert {(week, day) for week, day, _ in rows} == {("20261116", day) for day in WEEK}


@pytest.mark.usefixtures("airflow_connection")
def test_a_week_is_named_after_its_monday(weekly):
    with pytest.raises(ConfigurationError, match="week=20261118 is no Monday"):
        write_week(weekly, "20261118")
