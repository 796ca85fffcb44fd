"""SIGKILL at random moments under mixed load: what was acknowledged stays, nothing is left half done.

CRASH_SECONDS (default 600) says for how long, CRASH_SEED repeats a sequence of kills and operations (though
not their timing).
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

import alibabacloud_oss_v2 as oss
import cloudpickle
import pytest

from maxcompute_local.settings import load_settings
from tests.crash import workers
from tests.crash.server import Clients, KilledServer

cloudpickle.register_pickle_by_value(workers)


@pytest.mark.timeout(0)  # every wait below has a limit of its own
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    seconds = float(os.environ.get("CRASH_SECONDS", "600"))
    seed = int(os.environ.get("CRASH_SEED", time.time()))
    print(f"CRASH_SEED={seed} CRASH_SECONDS={seconds:.0f}", flush=True)  # noqa: T201 - how to repeat it
    server = KilledServer(tmp_path)
    clients = Clients(server.start())
    clients.oss.put_bucket(oss.PutBucketRequest(bucket=workers.BUCKET))

    def connect() -> Clients:
        settings = load_settings(tmp_path)
        assert settings is not None
        return Clients(settings)

    kinds = (
        workers.ObjectWriter,
        workers.ObjectWriter,
        workers.PartsWriter,
        workers.TunnelWriter,
        workers.SqlWriter,
        workers.SqlWriter,
        workers.JobWriter,
    )
    load = [kind(f"{kind.__name__.lower()}{n}", seed, connect) for n, kind in enumerate(kinds)]
    done = threading.Event()
    threads = [threading.Thread(target=one.run, args=(done,), name=one.name) for one in load]
    for thread in threads:
        thread.start()
    timer = threading.Timer(seconds, done.set)
    timer.start()
    try:
        server.harass(random.Random(seed), done)
        for thread in threads:
            thread.join(timeout=workers.DAG_WITHIN_SECONDS + 60)
            assert not thread.is_alive(), f"{thread.name} hangs"
        for one in load:
            if one.failure is not None:
                raise AssertionError(f"{one.name} (CRASH_SEED={seed})") from one.failure
        server.kill()
        server.start()
        for one in load:
            one.verify()
        counts = sum((one.counts for one in load), Counter[str]())
        print(f"{server.kills} kills; acknowledged: {dict(sorted(counts.items()))}")  # noqa: T201 - the result
    finally:
        timer.cancel()
        done.set()
        server.stop()
    # A last start and an orderly end collect what the kills have left.
    server.start()
    server.stop()
    _assert_no_litter(tmp_path)


def _assert_no_litter(root: Path) -> None:
    with sqlite3.connect(root / "odps/catalog.sqlite") as catalog:
        assert catalog.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        named = {row[0] for row in catalog.execute("SELECT path FROM files UNION SELECT path FROM pins")}
        named |= {row[0] for row in catalog.execute("SELECT path FROM upload_blocks")}
        live = {row[0] for row in catalog.execute("SELECT path FROM files")}
        results = {
            f"{row[0]}.parquet"
            for row in catalog.execute("SELECT id FROM instances WHERE result_columns IS NOT NULL")
        }
        running = catalog.execute(
            "SELECT count(*) FROM instances WHERE status = 'Running' AND tasks LIKE '%\"SQL\"%'"
        ).fetchone()
        _assert_sessions_whole(catalog, root / "maxframe")
    data = root / "odps/data"
    there = {str(path.relative_to(data)) for path in data.rglob("*.parquet")}
    assert live <= there, "a table names files that are gone"
    assert there <= named, f"{len(there - named)} files that nobody names"
    assert {path.name for path in (root / "odps/results").iterdir()} == results
    assert running == (0,)
    private = root / "oss/.maxcompute-local"
    assert list((private / "staging").iterdir()) == []
    with sqlite3.connect(private / "oss.sqlite") as metadata:
        assert metadata.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert metadata.execute("SELECT count(*) FROM pending_puts").fetchone() == (0,)
        uploads = {row[0] for row in metadata.execute("SELECT id FROM uploads")}
    assert {path.name for path in (private / "uploads").iterdir()} == uploads


def _assert_sessions_whole(catalog: sqlite3.Connection, folder: Path) -> None:
    torn = catalog.execute(
        "SELECT i.id, i.status, s.closed FROM instances i LEFT JOIN maxframe_sessions s ON s.id = i.id "
        "WHERE i.tasks LIKE '%\"MaxFrame\"%' "
        "AND (s.id IS NULL OR (i.status = 'Running') <> (s.closed IS NULL))"
    ).fetchall()
    assert torn == [], "sessions and their instances are not of one state"
    live = catalog.execute(
        "SELECT id FROM maxframe_dags WHERE status IN ('RUNNING', 'CANCELLING')"
    ).fetchall()
    assert live == [], "DAGs that run without a server"
    tokens = catalog.execute("SELECT purpose FROM tokens WHERE purpose LIKE 'maxframe:%'").fetchall()
    assert tokens == [], "tokens of DAGs that have ended"
    dags = {tuple(row) for row in catalog.execute("SELECT session_id, id FROM maxframe_dags")}
    assert {(path.parent.name, path.name) for path in folder.glob("*g*/*")} == dags
    assert list(folder.glob("*/*/dag.bin")) == [], "graphs, which hold credentials"
