"""Into how many chunks the rows of a job go, and that such of equally many rows have about the same work."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest

from airflow_provider_drivepipe.hooks.maxframe import PlannedWork
from airflow_provider_drivepipe.lifecycle.chunks import chunk_of, chunks_of_wave
from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import StageTables, UnitLayout, WorkingTables
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.stages.source import Source

DAY = PartitionSpec(("ds",), ("20261120",))
GIB = 1 << 30
VIDEOS = StageTables(
    source=Source.of_table("m"),
    output="o",
    working=WorkingTables.of("o", DAY, "d/r/t/-1/1"),
    partition=DAY,
    layout=UnitLayout((), (), (), (), ()),
    output_columns=(),
    unit="frame_extraction",
    units_per_job=500,
    units_per_chunk=4,
)


@pytest.mark.parametrize(
    ("run", "todo", "wave", "chunks"),
    [
        (4, 0, 0, 1),
        (5, 0, 0, 2),
        (1200, 0, 0, 125),
        (1200, 0, 2, 50),
        (0, 80, 0, 1),
        (0, 10_000, 0, 125),
        (8, 10_000, 0, 125),
        (0, 0, 0, 1),
    ],
)
def test_a_tiny_input_is_one_chunk_and_more_rows_are_more(run, todo, wave, chunks):
    assert chunks_of_wave(VIDEOS, WorkCounts({"run": run}, todo), wave) == chunks


@pytest.mark.parametrize(
    ("column", "weight", "chunks"),
    [("size_bytes", 100 << 20, 1), ("size_bytes", 10 * GIB, 3), ("duration_ms", 41 * 60_000, 3)],
)
def test_long_videos_are_more_chunks_but_no_more_than_videos(column, weight, chunks):
    assert chunks_of_wave(replace(VIDEOS, weight=column), WorkCounts({"run": 3}, weight=weight), 0) == chunks


def test_a_wave_counts_its_share_of_the_work():
    counts = WorkCounts({"run": 750}, weight=750 * GIB)
    tables = replace(VIDEOS, weight="size_bytes")
    assert [chunks_of_wave(tables, counts, wave) for wave in (0, 1)] == [500, 250]


@pytest.mark.parametrize(("run", "todo", "chunks"), [(1200, 0, 40), (3, 2, 5), (0, 0, 1), (0, 90, 40)])
def test_workers_decide_where_the_scenario_names_them(run, todo, chunks):
    assert chunks_of_wave(replace(VIDEOS, workers=40), WorkCounts({"run": run}, todo), 0) == chunks


@pytest.mark.parametrize(
    ("rows", "wanted"), [(10, 4), (1000, 300), (1001, 300), (500, 40), (7, 7), (5, 9), (3, 1)]
)
def test_rows_are_dealt_into_the_chunks_that_maxframe_makes(rows, wanted):
    """Cut into equal pieces, the last one shorter, the dealt order is cut between chunks."""
    size = -(-rows // wanted)
    places = sorted(range(rows), key=lambda place: (chunk_of(place, rows, wanted), place))
    pieces = [places[start : start + size] for start in range(0, rows, size)]
    short = size * len(pieces) - rows
    for number, piece in enumerate(pieces[: len(pieces) - short]):
        assert {chunk_of(place, rows, wanted) for place in piece} == {number}
    assert all(piece == sorted(piece) for piece in pieces[: len(pieces) - short])


@pytest.mark.parametrize("seed", range(5))
def test_chunks_have_about_the_same_work(seed):
    """Whatever the lengths, no chunk has more than another by the longest row; mostly far less."""
    draw = random.Random(seed)
    for lengths in (
        [draw.lognormvariate(0, 1) for _ in range(480)],
        [draw.uniform(10, 60) for _ in range(480)],
    ):
        work = [0.0] * 40
        for place, length in enumerate(sorted(lengths, reverse=True)):
            work[chunk_of(place, 480, 40)] += length
        assert max(work) - min(work) <= max(lengths)
    assert max(work) < 1.02 * min(work)


def test_progress_says_about_how_many_of_how_many():
    """MaxFrame tells the share of a job that is done; of jobs of one size, those before it are done."""
    one = PlannedWork(4000, "video", 0, 1, time.time())
    assert one.done(0.078) == "about 312 of 4,000 videos"
    third = PlannedWork(4000, "video", 2, 8, time.time() - 600)
    assert third.done(0.5) == "about 1,250 of 4,000 videos, wave 3 of 8, about 22 min left"
