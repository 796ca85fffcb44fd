"""One object up and down, in one piece and in parts (--mib); baseline: the file copied, and read."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import alibabacloud_oss_v2 as oss
from measured_cloud import drop_page_cache, measured_cloud

BUCKET = "big"
MIB = 1 << 20


def copy(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(MIB):
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=128)
    mib = parser.parse_args().mib
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source, target = root / "source", root / "target"
        with source.open("wb") as file:
            for _ in range(mib):
                file.write(os.urandom(MIB))
        drop_page_cache(source)
        baseline = seconds_of(lambda: copy(source, target))
        print(f"file copied and on disk: {mib / baseline:,.0f} MiB/s")
        with measured_cloud(root) as cloud:
            client = cloud.oss()
            client.put_bucket(oss.PutBucketRequest(bucket=BUCKET))
            print(f"server's memory before: {cloud.peak_mib():.0f} MiB")

            def put() -> None:
                client.put_object_from_file(oss.PutObjectRequest(bucket=BUCKET, key="whole"), str(source))

            def upload() -> None:
                client.uploader().upload_file(
                    oss.PutObjectRequest(bucket=BUCKET, key="parts"), str(source), part_size=16 * MIB
                )

            def get() -> None:
                client.get_object_to_file(oss.GetObjectRequest(bucket=BUCKET, key="whole"), str(target))

            def download() -> None:
                client.downloader().download_file(
                    oss.GetObjectRequest(bucket=BUCKET, key="parts"), str(target), part_size=16 * MIB
                )

            for what, work in (
                ("put in one piece", put),
                ("uploaded in parts", upload),
                ("got in one piece", get),
                ("downloaded in parts", download),
            ):
                drop_page_cache(source)
                cloud.reset_peak()
                seconds = seconds_of(work)
                print(
                    f"{what}: {mib / seconds:,.0f} MiB/s, {seconds / baseline:.1f} x the copy; "
                    f"server's peak memory {cloud.peak_mib():.0f} MiB",
                    flush=True,
                )
            assert target.stat().st_size == source.stat().st_size


if __name__ == "__main__":
    main()
