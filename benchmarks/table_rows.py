"""Rows through the tunnel, as records and Arrow (--rows); baseline: the same rows by pyarrow to Parquet."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from measured_cloud import MeasuredCloud, measured_cloud
from odps.tunnel import TableTunnel

BATCH = 50_000
BLOCKS = 4
SCHEMA = pa.schema(
    [("n", pa.int64()), ("score", pa.float64()), ("path", pa.string()), ("label", pa.string())]
)


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, BATCH):
        numbers = range(start, min(start + BATCH, rows))
        columns = [
            pa.array(numbers, pa.int64()),
            pa.array([n / 7 for n in numbers]),
            pa.array(
                [f"oss://bucket/drives/2026-11-21/drive_{n // 1000:06d}/frame_{n:08d}.jpg" for n in numbers]
            ),
            pa.array([f"car, rain, night, lane {n % 13}" for n in numbers]),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def timed(what: str, rows: int, cloud: MeasuredCloud, baseline: float, work: Callable[[], None]) -> None:
    cloud.reset_peak()
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    print(
        f"{what}: {rows / seconds:,.0f} rows/s, {seconds / baseline:.1f} x plain Parquet; "
        f"server's peak memory {cloud.peak_mib():.0f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        made = list(batches(rows))
        started = time.perf_counter()
        with pq.ParquetWriter(root / "baseline.parquet", SCHEMA, compression="zstd") as writer:
            for batch in made:
                writer.write_batch(batch)
        write_baseline = time.perf_counter() - started
        started = time.perf_counter()
        assert pq.read_table(root / "baseline.parquet").num_rows == rows
        read_baseline = time.perf_counter() - started
        with measured_cloud(root) as cloud:
            odps = cloud.odps()
            print(f"server's memory before: {cloud.peak_mib():.0f} MiB")
            for table in ("records", "arrow"):
                odps.execute_sql(f"CREATE TABLE {table} (n BIGINT, score DOUBLE, path STRING, label STRING)")
            tunnel = TableTunnel(odps)

            def write_records() -> None:
                session = tunnel.create_upload_session("records")
                for block in range(BLOCKS):
                    with session.open_record_writer(block) as writer:
                        for batch in made[block::BLOCKS]:
                            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                                writer.write(session.new_record(list(row)))
                session.commit(list(range(BLOCKS)))

            def write_arrow() -> None:
                session = tunnel.create_upload_session("arrow")
                for block in range(BLOCKS):
                    with session.open_arrow_writer(block) as writer:
                        for batch in made[block::BLOCKS]:
                            writer.write(batch)
                session.commit(list(range(BLOCKS)))

            def read_records() -> None:
                session = tunnel.create_download_session("records")
                with session.open_record_reader(0, session.count) as reader:
                    assert sum(1 for _ in reader) == rows

            def read_arrow() -> None:
                session = tunnel.create_download_session("arrow")
                with session.open_arrow_reader(0, session.count) as reader:
                    assert sum(batch.num_rows for batch in reader) == rows

            def select() -> None:
                with odps.execute_sql("SELECT * FROM arrow").open_reader(tunnel=True, arrow=True) as reader:
                    assert sum(batch.num_rows for batch in reader) == rows

            timed("records written", rows, cloud, write_baseline, write_records)
            timed("Arrow written", rows, cloud, write_baseline, write_arrow)
            timed("records read", rows, cloud, read_baseline, read_records)
            timed("Arrow read", rows, cloud, read_baseline, read_arrow)
            timed("SELECT * and its result read as Arrow", rows, cloud, read_baseline, select)


if __name__ == "__main__":
    main()
