"""Retrieval of frames by question (--videos --frames --questions, or --full); baseline: numpy in memory."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import numpy as np
import psutil
import pyarrow as pa
import yaml
from measured_cloud import measured_cloud
from numpy.typing import NDArray

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.processes import tree_of

DAY = "20261120"
BUCKET = "scale"
TOP_K = 8
DIGITS = 7
"""Decimals of a float in a table: what single precision holds."""
_SAMPLE_SECONDS = 0.2
STATUS = {"status": "ok", "error_stage": "", "error_type": "", "error_msg": "", "fingerprint": ""}

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Size:
    """How much there is; ``asked`` of the videos have questions, each with one query."""

    videos: int
    frames: int
    questions: int
    dimension: int
    asked: int

    def frame_vectors(self, video: int) -> Vectors:
        made = np.random.default_rng((1, video)).normal(size=(self.frames, self.dimension))
        return np.round(made, DIGITS)

    def query_vectors(self, video: int) -> Vectors:
        made = np.random.default_rng((2, video)).normal(size=(self.questions, self.dimension))
        return np.round(made, DIGITS)


class Memory:
    """The most memory that processes of a tree have held: one of them, and all, each page once."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stopped = pid, threading.Event()
        self.largest = self.all = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(_SAMPLE_SECONDS):
            held = [_held(process) for process in tree_of(self._pid)]
            self.largest = max(self.largest, *(of_one for of_one, _ in held))
            self.all = max(self.all, sum(shared for _, shared in held))


def _held(process: psutil.Process) -> tuple[int, int]:
    """Return what a process holds, and that with its share of what others hold too, in bytes."""
    try:
        found = process.memory_full_info()
        return found.rss, found.pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0, 0


def texts(vectors: Vectors) -> list[str]:
    return [json.dumps(vector) for vector in vectors.tolist()]


def write(table: Any, columns: Mapping[str, list[Any]], writer: Any) -> None:
    """Write a batch of columns, with the status of rows that are ok."""
    count = len(next(iter(columns.values())))
    whole = {**columns, **{name: [value] * count for name, value in STATUS.items()}, "attempt": [1] * count}
    schema = pa.schema(
        [
            (c.name, pa.int64() if c.type == "bigint" else pa.string())
            for c in table.table_schema.simple_columns
        ]
    )
    writer.write(pa.RecordBatch.from_pydict(whole, schema=schema))


def fill(odps: Any, name: str, size: Size) -> None:
    """Make the tables that the stage reads: frames, questions, vectors of their queries."""
    columns = {
        "frames": "video_id STRING, frame_idx BIGINT, frame_time_ms BIGINT, image_id STRING, "
        "image_url STRING, image_embedding STRING",
        "questions": "question_id STRING, video_id STRING, evidence_start_ms BIGINT, "
        "evidence_end_ms BIGINT, frames_version STRING",
        "query_embeddings": "question_id STRING, query_number BIGINT, query_kind STRING, "
        "query_embedding STRING",
    }
    status = "status STRING, error_stage STRING, error_type STRING, error_msg STRING, attempt BIGINT"
    tables = {}
    for table, of_table in columns.items():
        odps.execute_sql(
            f"CREATE TABLE {name}_{table} ({of_table}, {status}, fingerprint STRING) "
            "PARTITIONED BY (ds STRING)"
        )
        tables[table] = odps.get_table(f"{name}_{table}")
    opened = {
        table: made.open_writer(f"ds={DAY}", create_partition=True, arrow=True)
        for table, made in tables.items()
    }
    for video in range(size.videos):
        numbers = range(size.frames)
        batch = {
            "video_id": [f"v{video:05}"] * size.frames,
            "frame_idx": list(numbers),
            "frame_time_ms": [n * 500 for n in numbers],
            "image_id": [f"v{video:05}_{n:04}" for n in numbers],
            "image_url": [f"oss://host/{BUCKET}/frames/v{video:05}/{n:04}.jpg" for n in numbers],
            "image_embedding": texts(size.frame_vectors(video)),
        }
        write(tables["frames"], batch, opened["frames"])
        if video >= size.asked:
            continue
        asked = [f"v{video:05}_q{n:02}" for n in range(size.questions)]
        nothing = [None] * size.questions
        of_questions = {"question_id": asked, "video_id": [f"v{video:05}"] * size.questions}
        more = {"evidence_start_ms": nothing, "evidence_end_ms": nothing, "frames_version": nothing}
        write(tables["questions"], {**of_questions, **more}, opened["questions"])
        queries = {
            "question_id": asked,
            "query_number": [0] * size.questions,
            "query_kind": ["text"] * size.questions,
            "query_embedding": texts(size.query_vectors(video)),
        }
        write(tables["query_embeddings"], queries, opened["query_embeddings"])
    for writer in opened.values():
        writer.close()


def scenario_file(folder: Path, name: str, dimension: int) -> Path:
    file = folder / f"{name}.yaml"
    values = {
        "pipeline": "retrieval",
        "scenario_name": name,
        "input_shape": "question_table",
        "targets": ["video-qa"],
        "source_table": f"{name}_asked",
        "frames_table": f"{name}_frames",
        "video_key": "video_id",
        "oss_bucket": BUCKET,
        "vlm_model": "qwen3-vl-plus",
        "embedding_model": "qwen3-vl-embedding",
        "embedding_dim": dimension,
        "retrieval": {"arms": ["text"], "top_k": TOP_K},
    }
    file.write_text(yaml.safe_dump(values))
    return file


def ranked(frames: Vectors, queries: Vectors) -> list[list[int]]:
    """Return the best frames of each query in order of time."""
    frames = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    scores = queries / np.linalg.norm(queries, axis=1, keepdims=True) @ frames.T
    return [sorted(np.argsort(-row, kind="stable")[:TOP_K].tolist()) for row in scores]


def by_numpy(size: Size) -> tuple[dict[str, list[int]], float, float]:
    """Return what numpy finds by question, its seconds, and those with reading the vectors from JSON."""
    found, seconds, reading = {}, 0.0, 0.0
    for video in range(size.asked):
        frames, queries = size.frame_vectors(video), size.query_vectors(video)
        started = time.perf_counter()
        places = ranked(frames, queries)
        seconds += time.perf_counter() - started
        found.update({f"v{video:05}_q{n:02}": frames for n, frames in enumerate(places)})
        both = texts(frames), texts(queries)
        started = time.perf_counter()
        for lines in both:
            np.array([json.loads(line) for line in lines])
        reading += time.perf_counter() - started
    return found, seconds, seconds + reading


def cloud_cpu(pid: int) -> float:
    return sum(sum(process.cpu_times()[:4]) for process in tree_of(pid))


def measure(name: str, size: Size, cloud: Any, folder: Path) -> None:
    from airflow_provider_drivepipe.factory import build_dag
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
    from airflow_provider_drivepipe.pipelines.loading import load_scenario
    from tests.integration.operator_context import Run

    fill(cloud.odps(), name, size)
    task = build_dag(load_scenario(scenario_file(folder, name, size.dimension))).get_task("retrieve")
    task.deferrable, task.poll_interval, task.outlets = False, 0.2, []
    cloud.reset_peak()
    memory, control = Memory(cloud.settings.pid), LocalCloudControl(folder / "cloud")
    cpu, started = cloud_cpu(cloud.settings.pid), time.perf_counter()
    with memory.watched(), control.counting() as counts:
        report = Run(DAY).execute(task)
    seconds, cpu = time.perf_counter() - started, cloud_cpu(cloud.settings.pid) - cpu
    assert report["failed"] == 0, report
    evidence: dict[str, list[int]] = {}
    rows = DrivepipeHook().execute_sql(
        f"SELECT question_id, frame_idx FROM {name}_evidence WHERE ds = '{DAY}' "
        f"ORDER BY question_id, frame_idx LIMIT {size.asked * size.questions * TOP_K + 1}"
    )
    for question, frame in rows:
        evidence.setdefault(question, []).append(frame)
    found, plain, with_json = by_numpy(size)
    assert evidence == found, "retrieval and brute force differ"
    print(
        f"{size.videos:,} videos x {size.frames} frames, {size.asked:,} x {size.questions} questions, "
        f"{size.dimension} floats: {seconds:,.1f} s, cloud's CPU {cpu:,.1f} s, {report['ok']:,} rows, "
        f"{counts.get('maxframe.submit_dag', 0)} job\n"
        f"  most memory: one process {memory.largest / 2**20:,.0f} MiB, all {memory.all / 2**20:,.0f} MiB, "
        f"server {cloud.peak_mib():,.0f} MiB\n"
        f"  numpy: {plain:.2f} s, x {cpu / plain:,.0f} of CPU, x {seconds / plain:,.0f} of time; from JSON: "
        f"{with_json:.2f} s, x {cpu / with_json:,.1f} of CPU, x {seconds / with_json:,.1f} of time",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 30])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--questions", type=int, default=10)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--asked", type=int, help="videos with questions (default: all)")
    parser.add_argument("--full", action="store_true", help="1,000 videos x 300 frames x 10 questions")
    given = parser.parse_args()
    if given.full:
        given.videos, given.frames, given.questions = [1000], 300, 10
    sys.path.append(str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        (folder / "cloud").mkdir()
        with measured_cloud(folder / "cloud") as cloud:
            from airflow_provider_drivepipe.cli.local import connection_json

            os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection_json(cloud.settings)
            cloud.oss().put_bucket(oss.PutBucketRequest(bucket=BUCKET))
            # What is imported and started once is no part of what is measured.
            measure("scale_start", Size(1, 2 * TOP_K, 1, given.dimension, 1), cloud, folder)
            for count in given.videos:
                size = Size(count, given.frames, given.questions, given.dimension, given.asked or count)
                measure(f"scale_{count}", size, cloud, folder)


if __name__ == "__main__":
    main()
