"""Videos to frames with vectors in one job, and the frames that are most like a text."""

from airflow.sdk import DAG

from airflow_provider_drivepipe.operators import FrameSearchOperator, MaxFrameSingleJobOperator
from airflow_provider_drivepipe.timetables.odps_partition import OnDemandPartitionTimetable

with DAG(
    "search_by_hand",
    schedule=OnDemandPartitionTimetable(timezone="Asia/Shanghai"),
    default_args={"retries": 2},
    tags=["drivepipe", "example"],
) as dag:
    frames = MaxFrameSingleJobOperator(
        task_id="frames",
        source_table="by_hand_videos",
        bucket="drivepipe-demo",
        fps="1/2",
        embedding_model="qwen3-vl-embedding",
        embedding_dim=256,
        output_table="by_hand_vectors",
    )
    wet = FrameSearchOperator(
        task_id="wet",
        source_table=frames.output_table,
        model="qwen3-vl-embedding",
        dimension=256,
        query="a wet road at night",
        output_table="by_hand_wet",
    )
    frames >> wet
