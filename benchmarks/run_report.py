"""The report of a partition of 50,000 rows with 14 before it: size, time, memory of making it.

Of each day, videos are drawn with labels that fit driving-scene/v1; shares differ from day to day by some
10 %, and on the last day it rains twice as often. Pictures have noise, to compress like photographs.
The baseline: read the labels of the 15 partitions into the client and count them there.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import numpy as np
import pyarrow as pa
from measured_cloud import MeasuredCloud, measured_cloud
from odps.tunnel import TableTunnel
from PIL import Image, ImageDraw, ImageFilter

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.pipelines.loading import load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

SCENARIO = """
scenario_name: report_days
input_shape: video_table
source_table: none
targets: [frame-extraction, labeling]
oss_bucket: report-days
output_table: report_days_labels
vlm_model: qwen3-vl-plus
label_schema: driving-scene/v1
near_duplicate_distance: 4
prices: {currency: CNY, input: 1.5, output: 4.5}
"""
RAIN = [*np.exp(np.random.default_rng(0).normal(0, 0.1, 14)), 2.0]
FRAMES = 20
PICTURES = 40
SHARES: dict[str, dict[str, float]] = {
    "weather": {"clear": 0.5, "partly_cloudy": 0.12, "overcast": 0.15, "rainy": 0.12, "snowy": 0.005,
                "foggy": 0.03, "unknown": 0.02},
    "time_of_day": {"daytime": 0.6, "dawn_dusk": 0.1, "night": 0.28, "unknown": 0.02},
    "scene_type": {"city_street": 0.4, "highway": 0.3, "residential": 0.15, "tunnel": 0.03, "rural": 0.1,
                   "construction": 0.015, "unknown": 0.005},
    "road_surface": {"dry": 0.75, "wet": 0.2, "snow": 0.01, "unknown": 0.04},
    "visibility": {"good": 0.7, "reduced": 0.25, "poor": 0.05},
    "traffic_density": {"none": 0.1, "light": 0.35, "moderate": 0.3, "heavy": 0.2, "jam": 0.05},
    "ego_action": {"stop": 0.1, "straight": 0.7, "turn_left": 0.07, "turn_right": 0.07,
                   "lane_change_left": 0.03, "lane_change_right": 0.027, "reverse": 0.003},
    "traffic_light": {"red": 0.08, "green": 0.2, "none": 0.7, "yellow": 0.02},
    "risk_level": {"none": 0.5, "low": 0.3, "medium": 0.15, "high": 0.045, "critical": 0.005},
}  # fmt: skip


def picture(number: int) -> bytes:
    """Return a JPEG of 1280 x 720: a road with noise."""
    random = np.random.default_rng(number)
    image = Image.new("RGB", (1280, 720), tuple(random.integers(60, 220, 3)))
    draw = ImageDraw.Draw(image)
    draw.polygon([(0, 720), (1280, 720), (700, 330), (580, 330)], fill=(70, 70, 75))
    for _ in range(30):
        x, y, w = random.integers(0, 1200), random.integers(200, 600), random.integers(20, 180)
        draw.rectangle([x, y, x + w, y + w // 2], fill=tuple(random.integers(0, 255, 3)))
    noise = Image.fromarray(random.integers(0, 255, (720, 1280, 3), dtype="uint8")).filter(
        ImageFilter.GaussianBlur(1)
    )
    output = io.BytesIO()
    Image.blend(image, noise, 0.2).save(output, "JPEG", quality=85)
    return output.getvalue()


def day_rows(root: str, rows: int, seed: int, rain: float) -> pa.Table:
    """Return a day's rows, by videos of 20 frames; some failed, some repeat the frame before.

    :param rain: of the usual share, by how much it rains.
    """
    random = np.random.default_rng(seed)
    drawn = {}
    for name, shares in SHARES.items():
        wanted = np.array([*shares.values()]) * np.exp(random.normal(0, 0.1, len(shares)))
        wanted /= wanted.sum()
        if name == "weather":
            rainy = list(shares).index("rainy")
            wanted *= (1 - rain * SHARES[name]["rainy"]) / (1 - wanted[rainy])
            wanted[rainy] = rain * SHARES[name]["rainy"]
        drawn[name] = list(shares), wanted
    videos = -(-rows // FRAMES)
    of_video = {name: random.choice(values, videos, p=p) for name, (values, p) in drawn.items()}
    own = {name: random.choice(values, rows, p=p) for name, (values, p) in drawn.items()}
    differs = random.random((len(SHARES), rows)) < 0.15
    fate = random.random(rows)
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
    for n in range(rows):
        video, frame = divmod(n, FRAMES)
        label = {
            name: str(own[name][n] if differs[k, n] else of_video[name][video])
            for k, name in enumerate(SHARES)
        }
        hazards = ["cut_in"] if fate[n] > 0.995 else []
        label |= {
            "key_objects": [
                {"class": "car", "count": n % 4, "position": ("left", "ego_lane", "parked")[n % 3]}
            ],
            "hazards": hazards,
            "caption": f"A {label['scene_type']} in {label['weather']} weather.",
            "abstain": False,
        }
        status, stage, reason, message = "ok", "", "", ""
        if fate[n] < 0.01:
            status, stage, reason, message = (
                "failed",
                "label",
                "schema_violation",
                "$.weather: not one of the enum",
            )
        elif fate[n] < 0.03:
            status, stage, reason, message = (
                "filtered",
                "frame_extraction",
                "near_duplicate",
                "phash distance 2",
            )
        values = [
            f"{root}/trips/day{seed:02d}/car{video % 40}/front_{video:05d}.mp4",
            *(frame, frame * 500, f"{root}/frames/{(seed + video + frame) % PICTURES}.jpg"),
            json.dumps(label) if status == "ok" else None,
            *(0 if fate[n] < 0.99 else 1, 1670, 200, f"{n:016x}", status, stage, reason, message),
        ]
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return pa.table(columns, schema=COLUMNS)


COLUMNS = pa.schema(
    [
        ("video_path", pa.string()),
        ("frame_idx", pa.int64()),
        ("frame_time_ms", pa.int64()),
        ("image_url", pa.string()),
        ("label_text", pa.string()),
        ("label_normalised", pa.int64()),
        ("label_input_token", pa.int64()),
        ("label_output_token", pa.int64()),
        ("phash", pa.string()),
        ("status", pa.string()),
        ("error_stage", pa.string()),
        ("error_type", pa.string()),
        ("error_msg", pa.string()),
    ]
)


def fill(cloud: MeasuredCloud, rows: int) -> None:
    """Write pictures and 15 days."""
    client = cloud.oss()
    client.put_bucket(oss.PutBucketRequest(bucket="report-days"))
    for number in range(PICTURES):
        request = oss.PutObjectRequest(bucket="report-days", key=f"frames/{number}.jpg", body=picture(number))
        client.put_object(request)
    odps = cloud.odps()
    kinds = {pa.string(): "string", pa.int64(): "bigint"}
    table = odps.create_table(
        "report_days_labels", (", ".join(f"{c.name} {kinds[c.type]}" for c in COLUMNS), "ds string")
    )
    root = f"oss://{cloud.settings.oss_endpoint.removeprefix('http://')}/report-days"
    tunnel = TableTunnel(odps)
    for day in range(15):
        key = f"202611{day + 6:02d}"
        table.create_partition(f"ds={key}")
        session = tunnel.create_upload_session(table.name, partition_spec=f"ds={key}")
        with session.open_arrow_writer(0) as writer:
            for batch in day_rows(root, rows, day, RAIN[day]).to_batches():
                writer.write(batch)
        session.commit([0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="of each partition")
    parser.add_argument("--quick", action="store_true", help="2,000 rows a partition")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where the report goes")
    options = parser.parse_args()
    rows = 2_000 if options.quick else options.rows
    with tempfile.TemporaryDirectory() as name, measured_cloud(Path(name)) as cloud:
        fill(cloud, rows)
        os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection_json(cloud.settings)
        from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
        from airflow_provider_drivepipe.reports.run_report import read_report, render

        file = Path(name) / "report_days.yaml"
        file.write_text(SCENARIO)
        steps, hook, waited = plan(load_scenario(file)), DrivepipeHook(), []
        hook.execute_sql = timed(hook.execute_sql, waited)
        hook.execute_sql("SELECT 1")
        hook.read_object(hook.oss_root("report-days").join("frames/0.jpg"))
        waited.clear()
        started, cpu, before = time.perf_counter(), time.process_time(), peak_mib()
        report = read_report(steps, PartitionSpec(("ds",), ("20261120",)), hook, steps.models)
        page = render(report, datetime(2026, 11, 21, tzinfo=UTC))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        took = peak_mib() - before
        moved = ", ".join(f"{change.field} {change.value}" for change in report.moved)
        if options.keep:
            options.keep.write_text(page, "utf-8")
        started, all_cpu = time.perf_counter(), time.process_time()
        counted = Counter(
            (day, name, str(value))
            for day in range(6, 21)
            for label in labels(hook.odps.get_table("report_days_labels"), f"ds=202611{day:02d}")
            for name, value in label.items()
            if name in SHARES
        )
        all_seconds, all_cpu = time.perf_counter() - started, time.process_time() - all_cpu
        now = next(c.now for c in report.fields["weather"] if c.value == "rainy")
        assert counted[20, "weather", "rainy"] == now.hits
    for what, ours, baseline, unit in (
        ("client CPU", cpu, all_cpu, "s"),
        ("wall time", seconds, all_seconds, "s"),
    ):
        result = {"name": f"run_report: {what}", "ratio": round(baseline / ours, 2)}
        print(json.dumps({**result, "ours": round(ours, 2), "baseline": round(baseline, 2), "unit": unit}))
    asked = f"{len(waited)} statements in {sum(waited):.1f} s"
    print(f"{rows:,} rows a partition: {len(page.encode()) / 1e6:.2f} MB, {took:.0f} MiB of memory, {asked}")
    print(f"moved: {moved}")


def timed(run: Callable[[str], Any], waited: list[float]) -> Callable[[str], Any]:
    def run_timed(sql: str) -> Any:
        started = time.perf_counter()
        try:
            return run(sql)
        finally:
            waited.append(time.perf_counter() - started)

    return run_timed


def labels(table: Any, partition: str) -> Iterator[dict[str, Any]]:
    with table.open_reader(partition=partition, columns=["label_text"], arrow=True) as reader:
        for batch in reader:
            yield from (json.loads(text) for text in batch.column(0).to_pylist() if text)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
