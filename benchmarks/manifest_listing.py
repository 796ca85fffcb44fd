"""Lists a bucket of --objects videos into a manifest table; baseline: the SDK's paginator, and records.

The baseline is the video-manifest script as it is described: list_objects_v2_paginator, one record per
video with path, size and time. Both list the same bucket of the same local cloud, each in a process of its
own, by turns; figures are the best of --rounds. CPU is that of the client, without imports. A bucket that
only exists as answers shows what a network does (--latency-ms for each request), and memory (--memory).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
import pyarrow  # noqa: F401 - is not to be counted
from measured_cloud import measured_cloud
from odps import ODPS
from oss_listing import BUCKET, fill

from airflow_provider_drivepipe.cli.local import connection_json
from airflow_provider_drivepipe.operators import OssManifestOperator
from maxcompute_local import lifecycle
from maxcompute_local.settings import PROJECT, REGION, ServerSettings
from tests.integration.operator_context import Run


def seed(settings: ServerSettings, table: str) -> int:
    """The script; returns how many rows it has written."""
    key = settings.access_key_id, settings.access_key_secret
    o = ODPS(*key, project=PROJECT, endpoint=settings.odps_endpoint, overwrite_global=False)
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(*key)
    config.region, config.endpoint = REGION, settings.oss_endpoint
    client = oss.Client(config)
    target = o.create_table(
        table, ("video_path string, size_bytes bigint, last_modified string", "ds string"), if_not_exists=True
    )
    root = f"oss://{settings.oss_endpoint.partition('://')[2]}/{BUCKET}"
    written = 0
    with target.open_writer(partition="ds=20261120", create_partition=True) as writer:
        for page in client.list_objects_v2_paginator().iter_page(
            oss.ListObjectsV2Request(bucket=BUCKET, prefix="", max_keys=1000)
        ):
            rows = [
                [f"{root}/{found.key}", found.size, found.last_modified.strftime("%Y-%m-%d %H:%M:%S")]
                for found in page.contents or ()
                if found.key.lower().endswith((".mp4", ".mov", ".avi", ".mkv")) and found.size
            ]
            writer.write(rows)
            written += len(rows)
    return written


def ours(settings: ServerSettings, table: str) -> int:
    """The operator; returns how many rows it has written."""
    os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"] = connection_json(settings)
    operator = OssManifestOperator(task_id="manifest", bucket=BUCKET, output_table=table)
    return int(Run().execute(operator)["ok"])


WAYS: dict[str, Callable[[ServerSettings, str], int]] = {"ours": ours, "baseline": seed}


def measure(way: str, settings: ServerSettings, table: str) -> dict[str, float]:
    """Run one way in this process, of which nothing else is known."""
    started, cpu = time.perf_counter(), time.process_time()
    rows = WAYS[way](settings, table)
    return {
        "rows": rows,
        "cpu": time.process_time() - cpu,
        "wall": time.perf_counter() - started,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_process(way: str, root: Path, oss_port: int, table: str) -> dict[str, Any]:
    """Run one way in a process of its own."""
    internal = {"--way": way, "--root": str(root), "--oss-port": str(oss_port), "--table": table}
    command = [sys.executable, __file__, *(word for pair in internal.items() for word in pair)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
    print(way, found.decode(), file=sys.stderr, flush=True)
    return dict(json.loads(found))


@contextmanager
def generated(objects: int, latency_ms: int) -> Iterator[int]:
    """Run the server of a bucket that is not there; yield its port."""
    asked = ["--objects", str(objects), "--latency-ms", str(latency_ms)]
    command = [sys.executable, str(Path(__file__).with_name("listing_server.py")), *asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def say(name: str, figure: str, found: dict[str, list[dict[str, Any]]], unit: str) -> None:
    own, base = (min(each[figure] for each in found[way]) for way in WAYS)
    figures = {"ours": round(own, 2), "baseline": round(base, 2), "unit": unit}
    print(json.dumps({"name": name, "ratio": round(base / own, 2), **figures}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--latency-ms", type=int, default=50)
    parser.add_argument("--memory", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--quick", action="store_true", help="20,000 objects, and memory at 100,000 at most")
    for internal in ("--way", "--root", "--oss-port", "--table"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        settings = lifecycle.running(Path(options.root))
        assert settings is not None
        settings = replace(settings, oss_port=int(options.oss_port))
        print(json.dumps(measure(options.way, settings, options.table)))
        return
    objects = 20_000 if options.quick else options.objects
    of = f"for {objects:,} objects"
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        fill(root, objects, "folders", ".mp4", b"x")
        with measured_cloud(root) as cloud:

            def compare(port: int, rounds: int, tables: str) -> dict[str, list[dict[str, Any]]]:
                found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
                for number in range(rounds):
                    for way in WAYS:
                        found[way].append(in_process(way, root, port, f"{tables}_{way}_{number}"))
                        assert found[way][-1]["rows"] == objects
                return found

            found = compare(cloud.settings.oss_port, options.rounds, "local")
            say("manifest_rows", "cpu", found, f"CPU s of the client {of}")
            say("manifest_rows_per_second", "wall", found, f"s {of}, the local cloud")
            with generated(objects, options.latency_ms) as port:
                found = compare(port, 1, "generated")
            say(
                "manifest_rows_per_second_far",
                "wall",
                found,
                f"s {of}, {options.latency_ms} ms for each request",
            )
            sizes = [size for size in options.memory if not options.quick or size <= 100_000]
            peaks = {}
            for size in sizes:
                with generated(size, 0) as port:
                    peaks[size] = in_process("ours", root, port, f"memory_{size}")["peak_mib"]
            print(
                json.dumps(
                    {
                        "name": "manifest_peak_memory",
                        "ratio": round(peaks[sizes[0]] / peaks[sizes[-1]], 2),
                        "ours": round(peaks[sizes[-1]]),
                        "baseline": round(peaks[sizes[0]]),
                        "unit": f"MiB for {sizes[-1]:,} objects, against {sizes[0]:,}",
                    }
                )
            )


if __name__ == "__main__":
    main()
