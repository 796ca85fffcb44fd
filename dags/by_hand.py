"""Videos, their frames and a label for each frame, written by hand instead of in a scenario file.

A run owns one partition of each table: that of its partition key, else of "ds" in its configuration, else of
its logical date. OdpsPartitionTimetable("30 2 * * *", timezone=…) runs it every night for the day before.
"""

from airflow.sdk import DAG, Param

from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

with DAG(
    "by_hand",
    schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
    params={"question": Param("How wet is the road? Answer in one word.", type="string")},
    default_args={"bucket": "drivepipe-demo", "retries": 2},
    tags=["drivepipe", "example"],
) as dag:
    videos = OssManifestOperator(task_id="videos", prefix="trips/", output_table="by_hand_videos")
    frames = MaxFrameFrameExtractOperator(
        task_id="frames", source_table=videos.output_table, fps="1/2", output_table="by_hand_frames"
    )
    labels = AiFuncLabelOperator(
        task_id="labels",
        source_table=frames.output_table,
        model="qwen3-vl-plus",
        prompt="{{ params.question }}",
        output_table="by_hand_labels",
    )
    videos >> frames >> labels
