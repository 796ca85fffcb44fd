"""Into how many chunks the rows of a job go, and which go together: a worker works on one chunk at a time.

MaxFrame makes chunks of equally many rows. Where rows differ in work, they are dealt like cards, the longest
first, so that such chunks have about the same work.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import ROWS_PER_CHUNK, StageTables

WORTH_A_CHUNK = {"duration_ms": 20 * 60_000, "size_bytes": 1 << 30}
"""How much of what tells the work of a unit is worth a chunk: a minute or two of decoding."""


def chunks_of_wave(tables: StageTables, counts: WorkCounts, wave: int) -> int:
    """Return into how many chunks the rows of a wave go, before each function and each call of a model."""
    units, todo = units_of_wave(tables, counts, wave), _in_wave(counts.todo, tables.rows_per_job, wave)
    if tables.workers is not None:
        return max(1, min(tables.workers, units + todo))
    by_work = 0
    if tables.weight:
        by_work = min(units, _ceil(counts.weight * units, max(1, counts.run) * WORTH_A_CHUNK[tables.weight]))
    return max(1, by_work, _ceil(units, tables.units_per_chunk), _ceil(todo, ROWS_PER_CHUNK))


def units_of_wave(tables: StageTables, counts: WorkCounts, wave: int) -> int:
    """Return how many units a wave does from the start."""
    return _in_wave(counts.run, tables.units_per_job, wave)


def _in_wave(rows: int, per_job: int, wave: int) -> int:
    return max(0, min(per_job, rows - wave * per_job))


def _ceil(number: int, size: int) -> int:
    return -(-number // size)


def chunk_of(place: Any, rows: int, chunks: int) -> Any:
    """Return the chunk, from 0, of the row at a place in the order of work, the longest at 0.

    Every second turn deals backwards. The last turn begins with chunk 0: if it does not go round, the last
    chunks are those with a row less.

    :param place: a number, or a lazy series of numbers.
    :param chunks: at most; MaxFrame makes as many as it takes with the size that they have then.
    """
    turns = _ceil(rows, chunks)
    chunks = _ceil(rows, turns)
    turn, seat = place // chunks, place % chunks
    backwards = (turn + turns + 1) % 2
    return seat + backwards * (chunks - 1 - 2 * seat)
