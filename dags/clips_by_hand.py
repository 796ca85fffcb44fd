"""Clips, which are folders of images: eight keyframes of each, and what a stage of your own asks of them."""

from airflow.sdk import DAG

from airflow_provider_drivepipe.operators import MaxFrameKeyframeExpandOperator, MaxFrameStageOperator
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

with DAG(
    "clips_by_hand",
    schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
    default_args={"retries": 2},
    tags=["drivepipe", "example"],
) as dag:
    keyframes = MaxFrameKeyframeExpandOperator(
        task_id="keyframes",
        source_table="fleet_clips",
        bucket="drivepipe-demo",
        count=8,
        output_table="fleet_keyframes",
    )
    signs = MaxFrameStageOperator(
        task_id="signs",
        source_table=keyframes.output_table,
        stages=(Generate("signs", "qwen3-vl-plus", "Which traffic signs?", media=(Image("image_url"),)),),
        output_table="fleet_signs",
    )
    keyframes >> signs
