"""Turns a page of a listing (1,000 videos) into rows for the tunnel; baseline: the SDK's reading, records.

Without network and server: both read the same bytes, as often as --times. Figures are CPU seconds per page.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC
from types import SimpleNamespace

from alibabacloud_oss_v2 import models, serde, serde_utils
from odps.models import Record, TableSchema

from airflow_provider_drivepipe.contracts import MANIFEST_COLUMNS
from airflow_provider_drivepipe.hooks.listing import PAGE, object_pages
from airflow_provider_drivepipe.operators.oss_manifest import _block
from airflow_provider_drivepipe.pipelines.driving.manifest import LeftOut, manifest_row

OBJECT = (
    "<Contents><Key>trips%2F20261120%2Fcar_{n:04d}%2Ffront.mp4</Key><Type>Normal</Type><Size>{n}00</Size>"
    "<LastModified>2026-11-20T08:00:00.000Z</LastModified><ETag>&quot;5B3C1A2E053D763E1B002CC607C5A0FE&quot;</ETag>"
    "<StorageClass>Standard</StorageClass></Contents>"
)
XML = (
    "<ListBucketResult><Name>bucket</Name><Prefix>trips%2F</Prefix><MaxKeys>1000</MaxKeys>"
    "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>"
).format(objects="".join(OBJECT.format(n=n) for n in range(1, PAGE + 1)))
ANSWER = SimpleNamespace(
    http_response=SimpleNamespace(content=XML.encode()), headers={}, status_code=200, status=""
)
ROOT = "oss://oss-cn-hangzhou.aliyuncs.com/bucket"
SCHEMA = TableSchema.from_lists([c.name for c in MANIFEST_COLUMNS], [c.type for c in MANIFEST_COLUMNS])


def ours() -> int:
    client = SimpleNamespace(invoke_operation=lambda _: ANSWER)
    (page,) = object_pages(client, "bucket", "trips/")  # type: ignore[arg-type]  # all that is called
    rows = [manifest_row(found, ROOT, {".mp4"}) for found in page]
    return int(_block([row for row in rows if not isinstance(row, LeftOut)]).num_rows)


def theirs() -> int:
    page = serde.deserialize_output(
        result=models.ListObjectsV2Result(),
        op_output=ANSWER,  # type: ignore[arg-type]  # all that is read
        custom_deserializer=[serde.deserialize_output_xmlbody, serde_utils.deserialize_encode_type],
    )
    records = []
    for found in page.contents:
        modified = found.last_modified.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        row = (f"{ROOT}/{found.key}", found.size, modified, found.etag.strip('"'), "", found.storage_class)
        records.append(Record(schema=SCHEMA, values=list(row)))
    return len(records)


def seconds(read: Callable[[], int], times: int) -> float:
    assert read() == PAGE
    started = time.process_time()
    for _ in range(times):
        read()
    return (time.process_time() - started) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    times = parser.parse_args().times
    baseline, own = seconds(theirs, times), seconds(ours, times)
    figures = {"ours": round(own, 5), "baseline": round(baseline, 5), "unit": "CPU s per page of 1,000"}
    print(json.dumps({"name": "manifest_page", "ratio": round(baseline / own, 2), **figures}))


if __name__ == "__main__":
    main()
