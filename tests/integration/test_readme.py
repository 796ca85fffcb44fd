"""The README's DAG by hand runs as it stands there."""

import alibabacloud_oss_v2 as oss

from tests.integration.operator_context import Run
from tests.readme import dag_by_hand
from tests.unit.video_samples import write_video


def test_the_dag_by_hand_labels_videos(airflow_connection, oss_client, bucket, table, tmp_path):
    body = write_video(tmp_path / "v.mp4", frames=60).read_bytes()
    oss_client.put_object(oss.PutObjectRequest(bucket=bucket, key="trips/20261120/a.mp4", body=body))
    run = Run()
    for task in dag_by_hand(**{"my-bucket": bucket, "night_rain_": f"{table}_"}).topological_sort():
        task.deferrable, task.poll_interval = False, 0.2
        report = run.execute(task)
    assert (report["table"], report["ok"], report["failed"]) == (f"{table}_labels", 2, 0)
