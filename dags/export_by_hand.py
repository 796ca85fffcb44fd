"""Labels of the scenario driving_demo as a data set: WebDataset shards with a card, a folder per partition.

A run owns one partition, as in by_hand.py. To export each partition as soon as it is published, schedule the
DAG by PartitionedAssetTimetable(assets=table_asset("driving_demo_labels")).
"""

from airflow.sdk import DAG

from airflow_provider_drivepipe.operators import DatasetExportOperator
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

with DAG(
    "export_by_hand",
    schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
    default_args={"retries": 2},
    tags=["drivepipe", "example"],
) as dag:
    DatasetExportOperator(
        task_id="training_set",
        source_table="driving_demo_labels",
        output_table="driving_demo_set",  # a row per file
        bucket="drivepipe-demo",
        format="webdataset",
        label_schema="driving-scene/v1",
        where="abstain = false",
        license="CC-BY-4.0",
    )
