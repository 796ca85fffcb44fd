"""The graph of a task with many parts, and what it asks of models where any of them are missing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.lifecycle.stage_run import StageRun, Task
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.options import FrameOptions, OssOptions
from airflow_provider_drivepipe.scenario.options import SelectionOptions, TableOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import Stage
from tests.integration.operator_context import Run
from tests.integration.reader import READER, Reader, hook, reader, reading_cloud

pytestmark = pytest.mark.slow

__all__ = ["hook", "reader", "reading_cloud"]

DAY = PartitionSpec(("ds",), ("20261120",))
SCHEMA = '{"type": "object", "properties": {"topic": {"type": "string"}}}'
ROWS = 200


def chain(length: int, column: str) -> tuple[Generate, ...]:
    """Return parts of which each needs the one before, all with a repair round."""
    return tuple(
        Generate(
            f"p{n}",
            READER,
            "Go on",
            columns=(f"p{n - 1}_text" if n else column,),
            needs=(f"p{n - 1}",) if n else (),
            schema=SCHEMA,
        )
        for n in range(length)
    )


def graph_size(hook: MaxFrameHook, table: str, stages: Sequence[Stage], max_rows: int | None) -> int:
    """Return how many operators the graph of the first wave has, over rows of which none is published."""
    from maxframe_client.session.graph import gen_submit_tileable_graph

    output = f"{table}_{stages[0].name}_{len(stages)}"
    run = StageRun(
        hook,
        Task("s", "t", tuple(stages), Source.of_table(table), TableOptions(output), ("ds",), unit_key=("k",)),
        DAY,
        RunParams(),
        stages,
        SelectionOptions(max_rows=max_rows),
        WorkingTables.of(output, DAY, "try"),
    )
    run.ensure_output()
    graph, _ = gen_submit_tileable_graph(None, [run.sink(run.select(), 0).data], {})
    return len(list(graph))


@pytest.mark.parametrize("first", ["rows", "videos", "videos within a budget"])
def test_the_graph_grows_by_the_same_number_of_operators_with_each_part(
    hook: MaxFrameHook, table: str, first: str
) -> None:
    hook.execute_sql(
        f"CREATE TABLE {table} (k STRING, video_path STRING, note STRING) PARTITIONED BY (ds STRING)"
    )
    hook.execute_sql(f"INSERT INTO TABLE {table} PARTITION (ds='20261120') VALUES ('1', 'v', 'rain')")
    frames = FrameExtraction(OssOptions("b"), FrameOptions(frames_prefix="f"))
    unit = () if first == "rows" else (frames,)
    max_rows = 1 if "budget" in first else None
    sizes = {n: graph_size(hook, table, (*unit, *chain(n, "note")), max_rows) for n in (1, 2, 8)}
    step = sizes[2] - sizes[1]
    assert sizes == {n: sizes[1] + (n - 1) * step for n in sizes}
    # With a round of repair, a part is asked for twice; each time rows are parted and put together again.
    assert step <= 40, sizes


def test_every_subset_of_missing_parts_is_repaired_with_the_missing_calls(
    hook: MaxFrameHook, table: str, reader: Reader
) -> None:
    hook.execute_sql(f"CREATE TABLE {table}_i (k STRING) PARTITIONED BY (ds STRING)")
    numbers = range(ROWS)
    values = ", ".join(f"('{n:03}')" for n in numbers)
    hook.execute_sql(f"INSERT INTO TABLE {table}_i PARTITION (ds='20261120') VALUES {values}")
    stages = (
        Generate("a", READER, "a {k}", columns=("k",)),
        Generate("b", READER, "b {k} {a_text}", columns=("k", "a_text"), needs=("a",)),
        Generate("c", READER, "c {k}", columns=("k",)),
    )

    def run() -> None:
        operator = MaxFrameStageOperator(
            task_id="t",
            stages=stages,
            source_table=f"{table}_i",
            output_table=f"{table}_o",
            unit_key=("k",),
            deferrable=False,
            poll_interval=0.2,
        )
        report = Run().execute(operator)
        assert (report["ok"], report["failed"]) == (ROWS, 0)

    def published() -> dict[str, list[str]]:
        rows = hook.execute_sql(f"SELECT k, a_text, b_text, c_text FROM {table}_o WHERE ds='20261120'")
        return {k: texts for k, *texts in rows}

    reader.answer = lambda told: "old"
    run()
    assert len(reader.asked()) == 3 * ROWS

    # Of each row, the parts are gone whose bit is set in its number: eight subsets, 25 times each.
    gone = {f"{n:03}": {part for bit, part in enumerate("abc") if n >> bit & 1} for n in numbers}
    is_gone = {part: f"CAST(k AS BIGINT) % {2 << bit} >= {1 << bit}" for bit, part in enumerate("abc")}
    left = ", ".join(
        f"CASE WHEN {is_gone[part]} THEN NULL ELSE {part}_text END, {part}_input_token, {part}_output_token"
        for part in "abc"
    )
    whens = " ".join(f"WHEN {is_gone[part]} THEN '{part}'" for part in "abc")
    stage = f"CASE {whens} ELSE '' END"
    hook.execute_sql(
        f"INSERT OVERWRITE TABLE {table}_o PARTITION (ds='20261120') SELECT k, {left}, "
        f"CASE WHEN {stage} = '' THEN 'ok' ELSE 'failed' END, {stage}, '', '', attempt, fingerprint "
        f"FROM {table}_o WHERE ds='20261120'"
    )
    reader.answer = lambda told: "new"
    run()
    # What is made from a part is made anew with it.
    made = {k: parts | ({"b"} if "a" in parts else set()) for k, parts in gone.items()}
    a_text = {k: "new" if "a" in parts else "old" for k, parts in made.items()}
    said = {"a": "a {0}", "b": "b {0} {1}", "c": "c {0}"}
    wanted = [said[part].format(k, a_text[k]) for k, parts in made.items() for part in parts]
    assert reader.asked() == sorted(wanted)
    assert published() == {
        k: ["new" if part in parts else "old" for part in "abc"] for k, parts in made.items()
    }
    run()
    assert reader.asked() == []
