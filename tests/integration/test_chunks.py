"""How the work of a job is spread: chunks and their balance, as the local cloud makes them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import MaxFrameStageOperator
from airflow_provider_drivepipe.scenario.options import SelectionOptions
from airflow_provider_drivepipe.stages.stage import (
    Build,
    Grain,
    Part,
    RowStage,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    unit_layout,
)
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.rows import expanded, unit_dtypes
from tests.integration.operator_context import Run

SIZES = [5, 10, 20, 30, 60, 90, 100, 120, 150, 200, 250, 300, 400, 500, 600, 700, 800, 900, 1000, 1100]


OWN = (
    Column("n", "bigint", "number of the row within its unit"),
    Column("chunk_size", "bigint", "bytes of all units of the chunk"),
    Column("chunk_units", "bigint", "how many they are"),
)
SEEN = Column("seen_rows", "bigint", "rows of the chunk in which the row was seen")


class Described:
    def content(self, site: Site) -> dict[str, object]:
        return {}

    def guide(self) -> StageGuide:
        return StageGuide("", "video", "rows", (), "", (), "")


@dataclass(frozen=True)
class Cut(Described, UnitStage):
    """Cuts large units into many rows, and says of each row what its unit's chunk held."""

    name = "cut"
    grain = Grain.MANY
    with_parts = "cut_and_seen"
    units_per_job = 500
    weighed_by = ("size_bytes",)
    looked_up = ("frames_of_units",)

    def columns(self) -> tuple[Column, ...]:
        return OWN

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        return unit_layout(table, source, OWN, ("video_path",), number="n")

    def build(self, units: Any, build: Build) -> Any:
        lineage = ("video_path", "size_bytes")

        def cut(chunk: Any) -> Any:
            held = {"chunk_size": chunk["size_bytes"].sum(), "chunk_units": len(chunk)}

            def rows_of(unit: Any) -> list[dict[str, Any]]:
                numbers = range(12 if unit["size_bytes"] >= 1000 else 1)
                return [{"n": n, **held, "status": "ok", "error_stage": ""} for n in numbers]

            return expanded(chunk, rows_of, OWN, lineage)

        dtypes = unit_dtypes(OWN, {name: units.dtypes[name] for name in lineage})
        return apply_chunk(units, cut, dtypes).reset_index(drop=True)


@dataclass(frozen=True)
class See(Described, RowStage):
    """Says of each row how many rows its chunk has."""

    name = "seen"
    model = None

    def part(self) -> Part:
        return Part("seen", (SEEN,), SEEN.name)

    def build(self, rows: Any, build: Build) -> Any:
        def see(chunk: Any) -> Any:
            return chunk.assign(seen_rows=len(chunk))

        return apply_chunk(rows, see, dict(rows.dtypes))


def test_units_are_spread_by_size_and_rows_by_number(airflow_connection: str, table: str) -> None:
    hook = DrivepipeHook(airflow_connection)
    hook.execute_sql(
        f"CREATE TABLE {table} (video_path STRING, size_bytes BIGINT) PARTITIONED BY (ds STRING)"
    )
    values = ", ".join(f"('{name:02}', {size})" for name, size in enumerate(SIZES))
    hook.execute_sql(f"INSERT INTO TABLE {table} PARTITION (ds='20261120') VALUES {values}")
    operator = MaxFrameStageOperator(
        task_id="t",
        stages=(Cut(), See()),
        source_table=table,
        output_table=f"{table}_o",
        selection=SelectionOptions(workers=4),
        deferrable=False,
        poll_interval=0.2,
    )
    report = Run().execute(operator)
    opened = json.loads(hook.odps.get_instance(report["session_id"]).tasks[0].properties["settings"])
    flags = json.loads(opened["odps.maxframe.settings"])["sql.settings"]
    assert json.loads(flags["odps.sql.split.dop"]) == {"frames_of_units": 4}
    assert report["ok"] == 20 + 2 * 11
    sql = f"SELECT chunk_size, chunk_units, n, seen_rows FROM {table}_o WHERE ds='20261120'"
    found = [tuple(map(int, row)) for row in hook.execute_sql(sql)]
    chunks = dict(Counter((size, units) for size, units, n, _ in found if n == 0))
    # Each row says what its chunk held, so all that a chunk held says the same.
    assert all(units == count for (_, units), count in chunks.items())
    assert [units for _, units in chunks] == [5] * 4
    sizes = [size for size, _ in chunks]
    assert sum(sizes) == sum(SIZES)
    # As they stand in the table, five by five, one would have thirty times as much as another.
    assert max(sizes) < 1.2 * min(sizes)
    # The rows that come of them are more for some chunks than for others, until they are spread again.
    seen = Counter(seen_rows for *_, seen_rows in found)
    assert sum(count // size for size, count in seen.items()) == 4
    assert max(seen) - min(seen) <= 4
