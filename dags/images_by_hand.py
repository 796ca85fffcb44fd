"""Images of a table that others write: waited for, prepared, captioned, and the captions made vectors."""

from airflow.sdk import DAG

from airflow_provider_drivepipe.operators import (
    AiFuncEmbedOperator,
    AiFuncGenerateOperator,
    MaxFrameImagePrepareOperator,
)
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

with DAG(
    "images_by_hand",
    schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
    default_args={"retries": 2},
    tags=["drivepipe", "example"],
) as dag:
    there = OdpsPartitionSensor(task_id="there", table="fleet_images", min_rows=1, timeout=6 * 3600)
    prepared = MaxFrameImagePrepareOperator(
        task_id="prepared",
        source_table=there.table,
        bucket="drivepipe-demo",
        longest_side=1280,
        output_table="fleet_images_prepared",
    )
    captions = AiFuncGenerateOperator(
        task_id="captions",
        source_table=prepared.output_table,
        image_columns="prepared_url",
        model="qwen3-vl-plus",
        prompt="What does the driver have to watch out for? One sentence.",
        name="caption",
        output_table="fleet_images_captions",
    )
    vectors = AiFuncEmbedOperator(
        task_id="vectors",
        source_table=captions.output_table,
        column="caption_text",
        model="text-embedding-v4",
        output_table="fleet_images_vectors",
    )
    there >> prepared >> captions >> vectors
