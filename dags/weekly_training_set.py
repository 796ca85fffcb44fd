"""One training set per week, made of the daily label partitions of the scenario driving_demo.

Listens to the asset of the label table: when the seven days of a week, Monday to Sunday, are published, one
run writes the partition of that week, named after its Monday (week=20261116). Start a week by hand with the
partition key, or with the parameter "week".
"""

from datetime import datetime, timedelta

from airflow.sdk import (
    DAG,
    Param,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfWeekMapper,
    WeekWindow,
    task,
)

from airflow_provider_drivepipe.assets import publish_asset_events, table_asset
from airflow_provider_drivepipe.operators.retry import drivepipe_retry_policy

LABELS = "driving_demo_labels"
TRAINING_SET = "driving_training_set"
TIMEZONE = "Asia/Shanghai"  # of the scenario
DAY = "%Y%m%d"  # form of the partitions of both tables

WEEKLY = RollupMapper(
    upstream_mapper=StartOfWeekMapper(timezone=TIMEZONE, input_format=DAY, output_format=DAY),
    window=WeekWindow(),
)


@task(outlets=[table_asset(TRAINING_SET)])
def write_week(**context):
    """Overwrite the partition of the week with the rows that are ok; return their number per day."""
    from airflow_provider_drivepipe.contracts import Column, Status
    from airflow_provider_drivepipe.exceptions import ConfigurationError
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
    from airflow_provider_drivepipe.operators.partition import partition_spec_from_context
    from airflow_provider_drivepipe.scenario.options import PartitionOptions
    from airflow_provider_drivepipe.sql import (
        column_list,
        create_table,
        quote_name,
        quote_text,
    )

    columns = [
        Column("ds", "string", "day of the video"),
        Column("video_id", "string"),
        Column("frame_idx", "bigint"),
        Column("image_url", "string"),
        Column("label_text", "string"),
        Column("image_embedding", "string"),
        Column("fingerprint", "string", "tells which model and prompt made the label"),
    ]
    week = partition_spec_from_context(context, PartitionOptions(columns=("week",), timezone=TIMEZONE))
    monday = datetime.strptime(week.values[0], DAY)
    if monday.weekday() != 0:
        raise ConfigurationError(f"{week} is no Monday; a week is named after its Monday")
    days = [(monday + timedelta(days=i)).strftime(DAY) for i in range(7)]

    ti = context["ti"]
    hook = DrivepipeHook("drivepipe_default", run_identity=f"{ti.dag_id}/{ti.run_id}")
    names = column_list([c.name for c in columns])
    training_set = quote_name(TRAINING_SET)
    hook.execute_sql(create_table(TRAINING_SET, columns, ["week"]))
    hook.execute_sql(
        f"INSERT OVERWRITE TABLE {training_set} PARTITION ({week.sql()}) "
        f"SELECT {names} FROM {quote_name(LABELS)} "
        f"WHERE ds IN ({', '.join(quote_text(day) for day in days)}) AND status = {quote_text(Status.OK)}"
    )
    counted = hook.execute_sql(
        f"SELECT ds, COUNT(*) FROM {training_set} WHERE {week.sql(' AND ')} GROUP BY ds"
    )
    rows = dict.fromkeys(days, 0) | {day: int(count) for day, count in counted}
    report = {"table": TRAINING_SET, "partition": str(week), "ok": sum(rows.values()), "rows_per_day": rows}
    publish_asset_events(context, ti.task.outlets, report, week)
    return report


with DAG(
    "weekly_training_set",
    description="Training set of a week, when its seven days are labelled",
    doc_md=__doc__,
    schedule=PartitionedAssetTimetable(assets=table_asset(LABELS), default_partition_mapper=WEEKLY),
    catchup=False,
    max_active_runs=1,
    tags=["drivepipe", "example"],
    default_args={"retries": 2, "retry_policy": drivepipe_retry_policy()},
    params={
        "week": Param(
            None,
            type=["null", "string"],
            title="Week",
            description="its Monday, for example 20261116; empty: the run's partition key decides",
        )
    },
) as dag:
    write_week()
