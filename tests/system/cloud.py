"""The local cloud as a process of its own, which tests fill, count and kill."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alibabacloud_oss_v2 as oss
from odps import ODPS
from PIL import Image

from airflow_provider_drivepipe.cli.local import connection_json
from maxcompute_local import lifecycle
from maxcompute_local.clients import oss_client
from maxcompute_local.settings import PROJECT
from tests.system.model_endpoint import digest
from tests.unit.video_samples import write_video

BUCKET = "system-tests"


@dataclass(frozen=True)
class Picture:
    """A JPEG in the bucket: its address, and the digest by which the model endpoint knows it."""

    url: str
    digest: str


@dataclass(frozen=True)
class JobOnDisk:
    """A MaxFrame DAG as the local cloud keeps it, also over a restart."""

    session_id: str
    dag_id: str
    status: str


class Cloud:
    """A local cloud below ``root``.

    :param models_json: content of its ``models.json``.
    """

    def __init__(self, root: Path, models_json: str) -> None:
        self.root = root
        root.mkdir(parents=True)
        (root / "models.json").write_text(models_json)
        self.start()
        self.oss = oss_client(self.settings)
        self.odps = ODPS(
            self.settings.access_key_id,
            self.settings.access_key_secret,
            project=PROJECT,
            endpoint=self.settings.odps_endpoint,
            overwrite_global=False,
        )
        self.oss.put_bucket(oss.PutBucketRequest(bucket=BUCKET))

    @property
    def connection(self) -> str:
        """Value of ``AIRFLOW_CONN_DRIVEPIPE_DEFAULT``; it has the secret key in it."""
        return connection_json(self.settings)

    # Its life.

    def start(self) -> None:
        """Start it, on the ports that it had before."""
        ports = {} if (self.root / "server.json").exists() else {"odps_port": 0, "oss_port": 0}
        self.settings = lifecycle.up(self.root, **ports).settings

    def kill(self) -> None:
        """End the server with SIGKILL; the processes of running jobs live on. Its counters are lost."""
        pid = lifecycle.require_running(self.root).pid
        os.kill(pid, signal.SIGKILL)
        # It is a child of this process, or was adopted when another one started it.
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            lifecycle.down(self.root)

    # What it saw.

    def counters(self) -> Counter[str]:
        """Return what the server was asked to do since it started, by kind."""
        return Counter(lifecycle.stats(self.root))

    def jobs(self) -> set[JobOnDisk]:
        """Return every MaxFrame DAG that was ever submitted."""
        with closing(sqlite3.connect(self.root / "odps" / "catalog.sqlite")) as catalog:
            rows = catalog.execute("SELECT session_id, id, status FROM maxframe_dags").fetchall()
        return {JobOnDisk(*row) for row in rows}

    def live_sessions(self) -> list[str]:
        """Return the MaxFrame sessions that are open."""
        running = self.odps.list_instances(status="running")
        return [instance.id for instance in running]

    # What is put in and taken out.

    def put(self, key: str, body: bytes) -> str:
        """Store an object and return its URI."""
        self.oss.put_object(oss.PutObjectRequest(bucket=BUCKET, key=key, body=body))
        endpoint = self.settings.oss_endpoint.partition("://")[2]
        return f"oss://{endpoint}/{BUCKET}/{key}"

    def pictures(self, name: str, count: int) -> list[Picture]:
        """Store ``count`` JPEGs, each unlike every other, below ``<name>/``."""
        made = []
        for number in range(count):
            body = _jpeg(f"{name}/{number}")
            made.append(Picture(self.put(f"{name}/{number:04d}.jpg", body), digest(body)))
        return made

    def image_table(self, table: str, partitions: Mapping[str, int]) -> dict[str, list[Picture]]:
        """Make a table of pictures, so many in each partition of ``ds``, and return them."""
        columns = "(image_id STRING, image_url STRING) PARTITIONED BY (ds STRING)"
        self.sql(f"CREATE TABLE IF NOT EXISTS {table} {columns}")
        made = {}
        for ds, count in partitions.items():
            made[ds] = self.pictures(f"{table}/{ds}", count)
            rows = [[f"{ds}_{number:04d}", picture.url] for number, picture in enumerate(made[ds])]
            partition = f"ds='{ds}'"
            self.odps.write_table(table, rows, partition=partition, create_partition=True)
        return made

    def videos(self, prefix: str, lengths: Iterable[int]) -> list[str]:
        """Store small real videos below ``prefix``, one for each length in seconds, and return their URIs."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "video.mp4"
            return [
                self.put(
                    f"{prefix}/{number:02d}.mp4", write_video(file, frames=5 * length, rate=5).read_bytes()
                )
                for number, length in enumerate(lengths)
            ]

    def objects(self, prefix: str) -> list[str]:
        """Return the keys of the objects below ``prefix``."""
        request = oss.ListObjectsV2Request(bucket=BUCKET, prefix=prefix)
        return [str(each.key) for each in self.oss.list_objects_v2(request).contents or []]

    def sql(self, text: str) -> list[list[Any]]:
        """Run a statement and return its rows."""
        instance = self.odps.execute_sql(text)
        if not text.lstrip().upper().startswith("SELECT"):
            return []
        with instance.open_reader(tunnel=True) as reader:
            return [list(record.values) for record in reader]

    def statuses(self, table: str, ds: str) -> Counter[str]:
        """Count the rows of a partition by ``status``."""
        rows = self.sql(f"SELECT status, COUNT(*) FROM {table} WHERE ds='{ds}' GROUP BY status")
        return Counter({status: int(count) for status, count in rows})

    def working_tables(self) -> list[str]:
        """Return the selection and staging tables that are left; rows that are kept stay where they are."""
        names: Iterable[str] = (table.name for table in self.odps.list_tables())
        ours = (name for name in names if not name.endswith("__kept"))
        return [name for name in ours if "__" in name or name.startswith("tmp_mf_")]


def _jpeg(text: str) -> bytes:
    buffer = io.BytesIO()
    # The comment makes the bytes unlike any other picture's.
    Image.new("RGB", (16, 16), (90, 120, 150)).save(buffer, "JPEG", comment=text.encode())
    return buffer.getvalue()
