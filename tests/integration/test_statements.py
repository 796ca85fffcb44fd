"""How many SQL instances and jobs a task takes: each costs seconds in MaxCompute."""

from airflow_provider_drivepipe.scenario.options import SelectionOptions
from tests.integration.operator_context import Run
from tests.integration.test_repair import Pipeline, hook, pipeline, rows, videos, work

__all__ = ["Pipeline", "hook", "pipeline", "videos", "work"]

ONCE = SelectionOptions(max_row_attempts=1)


def instances(counted):
    """SQL instances of the task itself: a session is an instance too, and the sink of a job starts one."""
    return (
        counted["odps.create_instance"] - counted["maxframe.create_session"] - counted["maxframe.submit_dag"]
    )


def test_a_complete_partition_takes_one_look(pipeline, hook, work):
    with work() as first:
        report = Run().execute(pipeline.single_job(selection=ONCE))
    assert first["maxframe.submit_dag"] == 1
    assert instances(first) == 11, "9, a table that is made, and the rows that failed"
    before = rows(hook, f"{pipeline.table}_o", "*")
    with work() as again:
        told = Run(run_id="again").execute(pipeline.single_job(selection=ONCE))
    assert again["maxframe.create_session"] == 0
    assert instances(again) == 4, "the lock, one look, the rows that failed, the lock"
    assert sorted(map(str, rows(hook, f"{pipeline.table}_o", "*"))) == sorted(map(str, before))
    same = ("rows_in", "ok", "failed", "failures", "stages", "table", "partition", "verdict")
    assert {key: told[key] for key in same} == {key: report[key] for key in same}
    assert told["carried_over"] == report["ok"]
    assert (told["tokens"]["input"], again.calls) == (0, (0, 0, 0))
    assert hook.list_tables(f"{pipeline.table}_o__") == []

    # A unit more, or one that is gone, is seen.
    manifest = f"{pipeline.table}_m"
    hook.execute_sql(
        f"INSERT INTO TABLE {manifest} PARTITION (ds='20261120') (video_path, size_bytes) "
        f"SELECT CONCAT(video_path, 'x'), 1 FROM {manifest} WHERE ds='20261120' LIMIT 1"
    )
    with work() as more:
        assert Run(run_id="more").execute(pipeline.single_job(selection=ONCE))["failed"] == 2
    assert more["maxframe.submit_dag"] == 1
    Run().execute(pipeline.manifest())
    with work() as less:
        told = Run(run_id="less").execute(pipeline.single_job(selection=ONCE))
    assert (told["failed"], told["removed"], less["maxframe.submit_dag"]) == (1, 1, 0)
    assert rows(hook, f"{pipeline.table}_o", "COUNT(*)") == [[len(before)]]
