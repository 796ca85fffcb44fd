"""Lists a bucket of many keys by the SDK (--keys, --layout flat|folders); baseline: os.walk and lstat."""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import alibabacloud_oss_v2 as oss
from measured_cloud import measured_cloud

from maxcompute_local.oss.store import OssStore

BUCKET = "many"
LINKS = 60_000
"""Links of one inode, of which ext4 allows 65,000."""


def keys(count: int, layout: str, extension: str) -> Iterator[str]:
    for n in range(count):
        yield f"{'' if layout == 'flat' else f'drive_{n // 1000:06d}/'}frame_{n:010d}{extension}"


def fill(root: Path, count: int, layout: str, extension: str = ".jpg", content: bytes = b"") -> None:
    """Make objects without a request for each: records, and files that are links of a few inodes."""
    store = OssStore(root / "oss")
    store.create_bucket(BUCKET)
    folder = os.open(root / "oss" / BUCKET, os.O_RDONLY)

    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()

    def rows() -> Iterator[tuple[object, ...]]:
        last, source, modified = "", "", 0
        for n, key in enumerate(keys(count, layout, extension)):
            parent = key.rpartition("/")[0]
            if parent != last:
                os.mkdir(parent, dir_fd=folder)
                last = parent
            if n % LINKS == 0:
                source = key
                descriptor = os.open(key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder)
                os.write(descriptor, content)
                modified = os.fstat(descriptor).st_mtime_ns
                os.close(descriptor)
            else:
                os.link(source, key, src_dir_fd=folder, dst_dir_fd=folder)
            yield BUCKET, key, len(content), modified, md5, "0", "Normal", "{}"

    with store.metadata._cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.executemany("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows())
        cursor.execute("COMMIT")
    store.close()
    os.close(folder)


def walk(root: Path) -> int:
    count = 0
    for folder, _, files in os.walk(root):
        for name in files:
            os.lstat(f"{folder}/{name}")
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--layout", choices=("flat", "folders"), default="flat")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        started = time.perf_counter()
        fill(root, options.keys, options.layout)
        seconds = time.perf_counter() - started
        print(f"{options.keys:,} keys made in {seconds:.0f} s ({options.layout})", flush=True)
        started = time.perf_counter()
        assert walk(root / "oss" / BUCKET) == options.keys
        baseline = time.perf_counter() - started
        with measured_cloud(root) as cloud:
            before = cloud.peak_mib()
            started = time.perf_counter()
            count, last, first, slowest = 0, "", 0.0, 0.0
            lap = started
            pages = cloud.oss().list_objects_v2_paginator()
            for page in pages.iter_page(oss.ListObjectsV2Request(bucket=BUCKET, max_keys=1000)):
                for one in page.contents or ():
                    assert one.key > last
                    last = one.key
                    count += 1
                page_seconds, lap = time.perf_counter() - lap, time.perf_counter()
                first, slowest = first or page_seconds, max(slowest, page_seconds)
            seconds = time.perf_counter() - started
            assert count == options.keys, count
            client = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"listed at {count / seconds:,.0f} keys/s, {seconds / baseline:.1f} x os.walk and lstat, "
                f"first page {first:.1f} s, slowest {slowest:.1f} s; "
                f"server's peak memory {cloud.peak_mib():.0f} MiB "
                f"({before:.0f} before), client's {client:.0f} MiB"
            )


if __name__ == "__main__":
    main()
