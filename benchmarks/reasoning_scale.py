"""Reasoning steps over 2 s videos with a scripted model (--videos 10 100 1000); baseline: the size before."""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import alibabacloud_oss_v2 as oss
import av
import numpy as np
import yaml

from maxcompute_local import lifecycle
from maxcompute_local.clients import oss_client
from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.models.asked_shape import split_prompt
from maxcompute_local.models.backend import ChatRequest
from maxcompute_local.models.script_rules import ModelRules
from maxcompute_local.models.scripted import Request, Step
from maxcompute_local.models.shaped_answers import Evidence, Span, fill
from maxcompute_local.processes import tree_of
from maxcompute_local.server import LocalCloud
from maxcompute_local.settings import ServerSettings

DAY = "20261120"
BUCKET = "scale"
ONE_ANOMALY_IN = 4
COLUMNS = ("seconds", "client_cpu", "cloud_cpu", "rows", "calls", "sql", "jobs")


@dataclass(frozen=True)
class Cost:
    """What a task took: seconds, processor seconds of the client and of the local cloud, and counts."""

    seconds: float
    client_cpu: float
    cloud_cpu: float
    counts: dict[str, int] = field(default_factory=dict)
    rows: int = 0

    @property
    def calls(self) -> int:
        return self.counts.get("model.chat", 0)

    @property
    def sql(self) -> int:
        return sum(n for kind, n in self.counts.items() if kind.startswith("odps.sql."))

    @property
    def jobs(self) -> int:
        return self.counts.get("maxframe.submit_dag", 0)

    @property
    def cpu(self) -> float:
        return self.client_cpu + self.cloud_cpu


def answer(request: Request) -> Step:
    """Return what fits the prompt, different for each input."""
    assert isinstance(request, ChatRequest)
    text, shape = split_prompt(request.text)
    assert shape is not None
    # Pieces of one video under many names are the same bytes at addresses of their own.
    shown = "".join(part.source for part in (*request.videos, *request.images))
    digest = hashlib.sha256((shown or text).encode()).hexdigest()
    spans = tuple(Span(n * 800, n * 800 + 700, f"car {digest[:8]} passes sign {n}") for n in range(2))
    # Texts are asked for a moment of anomalies alone.
    sudden = not shown or int(digest, 16) % ONE_ANOMALY_IN == 0
    found = Evidence(
        f"car {digest[:8]} drives", spans, 900, sudden, f"car {digest[:8]} is seen", known={"abstain": False}
    )
    return Step(content=json.dumps(fill(shape, found)))


def serve(root: Path) -> None:
    """Run a local cloud whose models answer as scripted, until the process is ended."""
    ModelRules.step = lambda _, request: answer(request)  # type: ignore[method-assign]
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    cloud = LocalCloud(root, odps_port=0, oss_port=0).start()
    stopped.wait()
    cloud.stop()


@contextmanager
def scripted_cloud(root: Path) -> Iterator[ServerSettings]:
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(root,))
    process.start()
    try:
        while (settings := lifecycle.running(root)) is None:
            if not process.is_alive():
                raise RuntimeError("the local cloud did not start")
            time.sleep(0.05)
        yield settings
    finally:
        process.terminate()
        process.join()


def video() -> bytes:
    """Return 2 s of 160x90 at 10 frames a second."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
            for n in range(20):
                picture = np.full((90, 160, 3), 60 + 5 * n, np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode())
        return Path(file.name).read_bytes()


def upload(client: oss.Client, count: int) -> None:
    """Put one video under many keys, each with a box behind it that no player reads and no other has."""
    one = video()
    for n in range(count):
        own = hashlib.sha256(f"{count}/{n}".encode()).digest()
        body = one + (8 + len(own)).to_bytes(4, "big") + b"free" + own
        client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=f"videos_{count}/{n:05}.mp4", body=body))


def scenario_file(folder: Path, count: int) -> Path:
    file = folder / f"scale_{count}.yaml"
    values = {
        "pipeline": "reasoning",
        "scenario_name": f"scale_{count}",
        "input_shape": "oss_prefix",
        "targets": ["manifest", "reasoning-annotation"],
        "oss_bucket": BUCKET,
        "oss_prefix": f"videos_{count}/",
        "video_input_table": f"scale_{count}_manifest",
        "vlm_model": "qwen3-vl-plus",
        "llm_model": "qwen-plus",
    }
    file.write_text(yaml.safe_dump(values))
    return file


def cloud_cpu(pid: int) -> float:
    """Return the processor seconds of the local cloud and of all that it has started, ended ones included."""
    return sum(sum(process.cpu_times()[:4]) for process in tree_of(pid))


def client_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(file: Path, control: LocalCloudControl, pid: int) -> dict[str, Cost]:
    """Run all tasks of a scenario in their order, and say what each took."""
    from airflow_provider_drivepipe.factory import build_dag
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
    from airflow_provider_drivepipe.pipelines.loading import load_scenario
    from tests.integration.operator_context import Run

    context, costs = Run(DAY), {}
    scenario = load_scenario(file)
    for task in build_dag(scenario).topological_sort():
        task.deferrable, task.poll_interval, task.outlets = False, 0.2, []
        client, cloud, started = client_cpu(), cloud_cpu(pid), time.perf_counter()
        with control.counting() as counts:
            report = context.execute(task)
        assert report["failed"] == 0, report
        seconds = time.perf_counter() - started
        cost = Cost(seconds, client_cpu() - client, cloud_cpu(pid) - cloud, dict(counts))
        rows = DrivepipeHook().execute_sql(f"SELECT COUNT(*) FROM {report['table']} WHERE ds='{DAY}'")
        costs[task.task_id] = Cost(**{**vars(cost), "rows": rows[0][0]})
    return costs


def show(count: int, costs: dict[str, Cost], before: tuple[int, dict[str, Cost]] | None) -> None:
    print(f"\n{count} videos\n{'':14}" + "".join(f"{name:>12}" for name in COLUMNS) + "   cpu per video")
    for task, cost in costs.items():
        figures = "".join(
            f"{getattr(cost, name):>12,.{1 if '_' in name or name == 'seconds' else 0}f}" for name in COLUMNS
        )
        ratio = f"{cost.cpu / count * 1000:>10,.0f} ms"
        if before:
            ratio += f", x {cost.cpu / count / (before[1][task].cpu / before[0]):.2f}"
        print(f"{task:14}{figures}{ratio}", flush=True)
    whole = sum(cost.cpu for cost in costs.values())
    ratio = ""
    if before:
        was = sum(cost.cpu for cost in before[1].values()) / before[0]
        ratio = f", x {whole / count / was:.2f} of {before[0]} videos"
    print(
        f"all: {sum(c.seconds for c in costs.values()):,.0f} s, {whole / count:.2f} s cpu per video{ratio}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[10, 100])
    sizes = parser.parse_args().videos
    sys.path.append(str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AIRFLOW_HOME"] = str(folder / "airflow")
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "ERROR"
        with scripted_cloud(folder / "cloud") as settings:
            from airflow_provider_drivepipe.cli.local import connection_json

            os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection_json(settings)
            client, control = oss_client(settings), LocalCloudControl(folder / "cloud")
            client.put_bucket(oss.PutBucketRequest(bucket=BUCKET))
            before = None
            # What is imported and started once is no part of what is measured.
            for count in (1, *sizes):
                upload(client, count)
                costs = run(scenario_file(folder, count), control, settings.pid)
                if count > 1:
                    show(count, costs, before)
                    before = count, costs


if __name__ == "__main__":
    main()
