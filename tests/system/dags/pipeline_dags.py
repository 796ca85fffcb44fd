"""Scenarios as users write them: split-video and single-job, on videos of the test's own."""

from __future__ import annotations

from airflow_provider_drivepipe.factory import build_dag
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario

MODEL = "system-test-labeller"

for name, split in (("split", True), ("single", False)):
    scenario = DrivingScenario(
        scenario_name=name,
        input_shape="oss_prefix",
        targets=("manifest", "frame-extraction", "labeling"),
        oss_bucket="system-tests",
        oss_prefix=f"{name}_videos/{{ds}}/",
        frames_prefix=f"{name}_frames",
        video_input_table=f"{name}_manifest",
        output_table=f"{name}_final",
        split_video=split,
        vlm_model=MODEL,
        label_prompt=name,
    )
    dag = build_dag(scenario)
    for task in dag.tasks:
        # How these tasks wait does not matter; in a worker they see the end of a job at once.
        task.deferrable, task.poll_interval = False, 0.5
    globals()[scenario.dag_id] = dag
