"""DAGs that label a table of pictures, one for each test. Tables and prompt are called after the DAG."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param

from airflow_provider_drivepipe.operators import AiFuncLabelOperator
from airflow_provider_drivepipe.scenario.options import GateOptions
from airflow_provider_drivepipe.timetables.odps_partition import OdpsPartitionTimetable

MODEL = "system-test-labeller"
DAILY = OdpsPartitionTimetable("30 2 * * *", timezone="Asia/Shanghai")
NEVER_DUE = OdpsPartitionTimetable("30 2 29 2 *", timezone="Asia/Shanghai")
"""Daily partitions as well, but not due from the start date of the DAGs until 2028."""

FORM = {
    "label_prompt": Param(None, type=["null", "string"]),
    "reprocess": Param(None, type=["null", "string"]),
}

DAGS = {
    "scheduled": {"schedule": DAILY, "deferrable": False},
    "by_key": {"deferrable": False},
    "tested_by_hand": {"deferrable": False},
    "backfilled": {"deferrable": False, "gate": GateOptions(max_failure_rate=0), "retries": 0},
    "cleared_partition": {"deferrable": False},
    "mark_failed": {},
    "cleared_while_deferred": {"pool": "cleared_while_deferred"},
    "cleared_before_watched": {},
    "cleared_late": {},
    "triggerer_killed": {},
    "scheduler_killed": {},
    "cloud_killed": {"retries": 2},
    "task_killed": {"deferrable": False, "retries": 2},
    "burst": {"retries": 0},
    "four_hundred": {"deferrable": False, "retries": 2},
    "gated": {"retries": 2, "gate": GateOptions(max_failure_rate=0.1)},
    "twice": {"retries": 0},
    "watched_partition": {"deferrable": False},
    "timed_out": {"retries": 0, "execution_timeout": timedelta(seconds=15)},
    "timed_out_in_worker": {"deferrable": False, "retries": 0, "execution_timeout": timedelta(seconds=20)},
    "dag_deleted": {"retries": 0},
    "run_deleted": {"retries": 0},
    "run_failed": {"retries": 0},
    "run_failed_in_worker": {"deferrable": False, "retries": 0},
    "run_gone": {"retries": 0},
}

for name, options in DAGS.items():
    schedule = options.pop("schedule", NEVER_DUE)
    with DAG(
        dag_id=name,
        schedule=schedule,
        start_date=pendulum.datetime(2025, 1, 1, tz="Asia/Shanghai"),
        catchup=False,
        is_paused_upon_creation=True,
        params=FORM,
        default_args={"retry_delay": pendulum.duration(seconds=1)},
    ) as dag:
        AiFuncLabelOperator(
            task_id="label",
            source_table=f"{name}_images",
            output_table=f"{name}_labels",
            model=MODEL,
            prompt=name,
            poll_interval=1,
            **options,
        )
    globals()[name] = dag
