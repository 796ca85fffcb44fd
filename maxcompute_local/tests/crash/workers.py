"""Writers that remember what was acknowledged to them, and hold the server to it.

Each owns what it writes to. A slot is what one key or partition may hold: one state after an answer, two
after a call without an answer, until a read says which.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import alibabacloud_oss_v2 as oss
import maxframe.dataframe as md
import odps.errors
import pandas as pd
from maxframe.session import new_session
from maxframe_client.session.graph import gen_submit_tileable_graph
from maxframe_client.session.task import MaxFrameInstanceCaller
from odps import options
from odps.config import option_context
from odps.tunnel import TableTunnel

from tests.crash.server import Clients, Unknown, insist, once

BUCKET = "crash"
PART_BYTES = 100 * 1024
DAG_WITHIN_SECONDS = 120.0


class Slot:
    """What something may hold."""

    def __init__(self, state: Any) -> None:
        self.possible: list[Any] = [state]

    @contextmanager
    def change(self, state: Any) -> Iterator[None]:
        """Change it in the block, of which Unknown may come."""
        try:
            yield
        except Unknown:
            self.possible.append(state)
        else:
            self.possible = [state]

    def check(self, found: Any, what: str) -> None:
        """Compare with what was read, and know it from now on."""
        assert found in self.possible, f"{what} holds {found!r}, expected one of {self.possible!r}"
        self.possible = [found]


class Worker:
    """One thread of load; ``step`` is one change or check of it."""

    def __init__(self, name: str, seed: int, connect: Callable[[], Clients]) -> None:
        self.name = name
        self.chooser = random.Random(f"{seed} {name}")
        self.counts: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self._connect = connect
        self._version = 0

    def run(self, done: threading.Event) -> None:
        options.retry_times = 0
        try:
            self.clients = self._connect()
            self.prepare()
            while not done.is_set():
                self.step()
        except BaseException as error:  # noqa: BLE001 - the test raises it again
            self.failure = error
            done.set()

    def prepare(self) -> None:
        """Make what the steps need."""

    def step(self) -> None:
        raise NotImplementedError

    def verify(self) -> None:
        """Check everything that was ever acknowledged."""
        raise NotImplementedError

    def next_version(self) -> int:
        self._version += 1
        return self._version

    def sql(self, text: str) -> bool:
        """Run a statement; return whether it was done. Unknown when not even its instance is known."""
        instance = once(self.clients.odps.run_sql, text)
        insist(lambda: instance.reload() if not instance.is_terminated() else None)
        while not insist(instance.is_terminated):
            time.sleep(0.02)
        done: bool = insist(instance.is_successful)
        if not done:
            message = insist(lambda: next(iter(instance.get_task_results().values())))
            assert "the server was restarted; no statement" in str(message), message
        self.counts["sql done" if done else "sql failed by a kill"] += 1
        return done

    def define(self, text: str) -> None:
        """Run a statement that may be repeated until it is done."""
        while True:
            try:
                if self.sql(text):
                    return
            except Unknown:
                time.sleep(0.1)

    def rows(self, text: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""

        def read() -> list[tuple[Any, ...]] | None:
            instance = self.clients.odps.run_sql(text)
            while not instance.is_terminated():
                time.sleep(0.02)
            if not instance.is_successful():
                return None  # killed while it ran
            with instance.open_reader(tunnel=True) as reader:
                return [tuple(record.values) for record in reader]

        while (found := insist(read)) is None:
            time.sleep(0.1)
        return found


class ObjectWriter(Worker):
    """Puts, appends, copies and deletes objects; lists them."""

    def prepare(self) -> None:
        self.slots = {f"{self.name}/{n % 3}/{n}": Slot(None) for n in range(24)}

    def step(self) -> None:
        key = self.chooser.choice(list(self.slots))
        slot = self.slots[key]
        dice = self.chooser.random()
        if dice < 0.5:
            self._put(key, slot)
        elif dice < 0.6:
            self._delete(key, slot)
        elif dice < 0.7:
            self._copy(key, self.chooser.choice(list(self.slots)))
        elif dice < 0.75:
            self._list()
        else:
            self._check(key)
        for uncertain in (key for key, slot in self.slots.items() if len(slot.possible) > 1):
            self._check(uncertain)  # before the next write hides what the kill has left

    def _put(self, key: str, slot: Slot) -> None:
        version = self.next_version()
        size = self.chooser.choice((0, 10, 5000, 300_000, 2_000_000))
        content = self.chooser.randbytes(size)
        request = oss.PutObjectRequest(
            bucket=BUCKET, key=key, body=content, metadata={"version": str(version)}
        )
        with slot.change((version, _digest(content))):
            once(self.clients.oss.put_object, request)
            self.counts["objects put"] += 1

    def _delete(self, key: str, slot: Slot) -> None:
        with slot.change(None):
            once(self.clients.oss.delete_object, oss.DeleteObjectRequest(bucket=BUCKET, key=key))
            self.counts["objects deleted"] += 1

    def _copy(self, source: str, target: str) -> None:
        self._check(source)
        (state,) = self.slots[source].possible
        if state is None or source == target:
            return
        request = oss.CopyObjectRequest(bucket=BUCKET, key=target, source_bucket=BUCKET, source_key=source)
        with self.slots[target].change(state):
            once(self.clients.oss.copy_object, request)
            self.counts["objects copied"] += 1

    def _check(self, key: str) -> None:
        self.slots[key].check(insist(lambda: _object(self.clients, key)), key)

    def _list(self) -> None:
        request = oss.ListObjectsV2Request(bucket=BUCKET, prefix=f"{self.name}/", max_keys=1000)
        listed = {one.key for one in insist(lambda: self.clients.oss.list_objects_v2(request)).contents or ()}
        for key, slot in self.slots.items():
            assert (key in listed) in {state is not None for state in slot.possible}, key
        self.counts["lists"] += 1

    def verify(self) -> None:
        for key in self.slots:
            self._check(key)
        self._list()


class PartsWriter(Worker):
    """Multipart uploads: an upload whose completion got no answer is whole, or can still be completed."""

    def prepare(self) -> None:
        self.slot = Slot(None)
        self.key = f"{self.name}/object"

    def step(self) -> None:
        version = self.next_version()
        start = oss.InitiateMultipartUploadRequest(
            bucket=BUCKET, key=self.key, metadata={"version": str(version)}
        )
        try:
            upload_id = once(self.clients.oss.initiate_multipart_upload, start).upload_id
        except Unknown:
            return
        contents = [self.chooser.randbytes(PART_BYTES + n) for n in range(self.chooser.randint(1, 4))]
        etags = [self._part(upload_id, number, content) for number, content in enumerate(contents, 1)]
        if self.chooser.random() < 0.3:
            contents[0] = self.chooser.randbytes(PART_BYTES)
            etags[0] = self._part(upload_id, 1, contents[0])
        if self.chooser.random() < 0.2:
            self._abort(upload_id)
            return
        self._complete(upload_id, etags, (version, _digest(b"".join(contents))))

    def _part(self, upload_id: str, number: int, content: bytes) -> str:
        request = oss.UploadPartRequest(
            bucket=BUCKET, key=self.key, upload_id=upload_id, part_number=number, body=content
        )
        etag: str = insist(lambda: self.clients.oss.upload_part(request)).etag
        self.counts["parts put"] += 1
        return etag

    def _abort(self, upload_id: str) -> None:
        request = oss.AbortMultipartUploadRequest(bucket=BUCKET, key=self.key, upload_id=upload_id)
        try:
            insist(lambda: self.clients.oss.abort_multipart_upload(request))
        except oss.exceptions.ServiceError as error:
            if error.code != "NoSuchUpload":  # aborted by a call that got no answer
                raise
        self.counts["uploads aborted"] += 1

    def _complete(self, upload_id: str, etags: list[str], state: Any) -> None:
        parts = [oss.UploadPart(part_number=n, etag=etag) for n, etag in enumerate(etags, 1)]
        request = oss.CompleteMultipartUploadRequest(
            bucket=BUCKET,
            key=self.key,
            upload_id=upload_id,
            complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts),
        )
        while True:
            with self.slot.change(state):
                once(self.clients.oss.complete_multipart_upload, request)
            self.verify()
            unfinished = self._is_unfinished(upload_id)
            assert unfinished == (self.slot.possible != [state]), "object and upload are not of one state"
            if not unfinished:
                self.counts["uploads completed"] += 1
                return

    def _is_unfinished(self, upload_id: str) -> bool:
        request = oss.ListMultipartUploadsRequest(bucket=BUCKET, prefix=self.key, max_uploads=1000)
        found = insist(lambda: self.clients.oss.list_multipart_uploads(request)).uploads or ()
        return upload_id in {one.upload_id for one in found}

    def verify(self) -> None:
        self.slot.check(insist(lambda: _object(self.clients, self.key)), self.key)


class TunnelWriter(Worker):
    """Uploads of two blocks, appended to a table or put in place of a partition."""

    def prepare(self) -> None:
        self.table = f"crash_{self.name}"
        self.define(f"CREATE TABLE IF NOT EXISTS {self.table} (version BIGINT, n BIGINT, text STRING)")
        self.partitioned = f"{self.table}_parts"
        self.define(
            f"CREATE TABLE IF NOT EXISTS {self.partitioned} (version BIGINT, n BIGINT, text STRING) "
            "PARTITIONED BY (pt STRING)"
        )
        self.appended = Slot(frozenset())
        self.slots = {f"pt={n}": Slot(None) for n in range(3)}
        for n in range(3):
            self.define(f"ALTER TABLE {self.partitioned} ADD IF NOT EXISTS PARTITION (pt='{n}')")

    def step(self) -> None:
        if self.chooser.random() < 0.5:
            (before,) = self._known()
            version = self.next_version()
            with self.appended.change(before | {version}):
                self._upload(self.table, None, version, overwrite=False)
        else:
            partition = self.chooser.choice(list(self.slots))
            version = self.next_version()
            with self.slots[partition].change(version):
                self._upload(self.partitioned, partition, version, overwrite=True)
            if self.slots[partition].possible != [version]:
                self._check_partition(partition)

    def _upload(self, name: str, partition: str | None, version: int, *, overwrite: bool) -> None:
        table = insist(lambda: self.clients.odps.get_table(name))
        tunnel = TableTunnel(self.clients.odps)
        session = once(tunnel.create_upload_session, table, partition_spec=partition, overwrite=overwrite)
        for block in (0, 1):
            once(self._write_block, session, block, version)
        once(session.commit, [0, 1])
        self.counts["uploads committed"] += 1

    def _write_block(self, session: Any, block: int, version: int) -> None:
        with session.open_record_writer(block) as writer:
            for n in range(50):
                text = "x" * self.chooser.choice((1, 2000))
                writer.write(session.new_record([version, block * 50 + n, text]))

    def _known(self) -> list[frozenset[int]]:
        if len(self.appended.possible) > 1:
            self._check_appended()
        return self.appended.possible

    def _check_appended(self) -> None:
        rows = self.rows(f"SELECT version, count(*), count(DISTINCT n) FROM {self.table} GROUP BY version")
        assert all((count, distinct) == (100, 100) for _, count, distinct in rows), rows
        self.appended.check(frozenset(version for version, *_ in rows), self.table)

    def _check_partition(self, partition: str) -> None:
        value = partition.partition("=")[2]
        rows = self.rows(
            f"SELECT version, count(*) FROM {self.partitioned} WHERE pt = '{value}' GROUP BY version"
        )
        assert [count for _, count in rows] in ([], [100]), rows
        self.slots[partition].check(rows[0][0] if rows else None, f"{self.partitioned} {partition}")

    def verify(self) -> None:
        self._check_appended()
        for partition in self.slots:
            self._check_partition(partition)


class SqlWriter(Worker):
    """Statements: what is said to be done is done, what is said to have failed has changed nothing."""

    PARTITIONS = 4

    def prepare(self) -> None:
        self.table = f"crash_{self.name}"
        self.define(f"CREATE TABLE IF NOT EXISTS {self.table} (version BIGINT) PARTITIONED BY (pt STRING)")
        self.log = f"{self.table}_log"
        self.define(f"CREATE TABLE IF NOT EXISTS {self.log} (version BIGINT)")
        self.whole = Slot(None)
        self.appended = Slot(frozenset())
        self.extra = Slot(False)

    def step(self) -> None:
        version = self.next_version()
        dice = self.chooser.random()
        if dice < 0.4:
            values = ", ".join(f"({version}, 'p{n}')" for n in range(self.PARTITIONS))
            self._change(
                self.whole,
                version,
                f"INSERT OVERWRITE TABLE {self.table} PARTITION (pt) "
                f"SELECT * FROM VALUES {values} AS t(v, pt)",
            )
            self._check_whole()
        elif dice < 0.7:
            if len(self.appended.possible) > 1:
                self._check_appended()
            (before,) = self.appended.possible
            statement = f"INSERT INTO TABLE {self.log} VALUES ({version})"
            self._change(self.appended, before | {version}, statement)
        else:
            if len(self.extra.possible) > 1:
                self._check_extra()
            (there,) = self.extra.possible
            action = "DROP" if there else "ADD"
            self._change(self.extra, not there, f"ALTER TABLE {self.table} {action} PARTITION (pt='extra')")

    def _change(self, slot: Slot, state: Any, statement: str) -> None:
        before = list(slot.possible)
        with slot.change(state):
            done = self.sql(statement)
        if len(slot.possible) == 1 and not done:
            slot.possible = before

    def _check_whole(self) -> None:
        rows = self.rows(f"SELECT min(version), max(version), count(*) FROM {self.table} WHERE pt <> 'extra'")
        low, high, count = rows[0]
        assert low == high, f"half of two statements: {rows}"
        assert count == (0 if low is None else self.PARTITIONS), rows
        self.whole.check(low, self.table)

    def _check_appended(self) -> None:
        rows = self.rows(f"SELECT version FROM {self.log}")
        versions = [version for (version,) in rows]
        assert len(versions) == len(set(versions)), "a row was written twice"
        self.appended.check(frozenset(versions), self.log)

    def _check_extra(self) -> None:
        table = self.clients.odps.get_table(self.table)
        self.extra.check(insist(lambda: table.exist_partition("pt=extra")), "pt=extra")

    def verify(self) -> None:
        self._check_whole()
        self._check_appended()
        self._check_extra()


class JobWriter(Worker):
    """MaxFrame jobs that overwrite a table: each one ends, and success means that its rows are there."""

    def prepare(self) -> None:
        self.table = f"crash_{self.name}"
        self.slot = Slot(None)

    def step(self) -> None:
        version = self.next_version()
        try:
            session_id, dag_id = once(self._submit, version)
        except Unknown:
            # The job may run, nobody knows how long.
            self.table, self.slot = f"crash_{self.name}_{version}", Slot(None)
            return
        self.slot.possible.append(version)
        caller = insist(
            lambda: MaxFrameInstanceCaller(
                self.clients.odps, task_name="AnonymousMaxFrameTask", nested_instance_id=session_id
            )
        )
        deadline = time.monotonic() + DAG_WITHIN_SECONDS
        while not (info := insist(lambda: caller.get_dag_info(dag_id))).status.is_terminated():
            assert time.monotonic() < deadline, f"DAG {dag_id} is neither recovered nor reported failed"
            time.sleep(0.1)
        if info.status.name == "SUCCEEDED":
            self.slot.possible = [version]
        self.counts[f"dags {info.status.name.lower()}"] += 1
        self.verify()
        try:
            insist(caller.instance.stop)
        except odps.errors.ODPSError as error:
            if "ended" not in str(error):  # stopped by a call that got no answer
                raise

    def _submit(self, version: int) -> tuple[str, str]:
        with option_context():
            session = new_session(self.clients.odps, default=False)
            self.clients.odps.to_global()
            frame = md.DataFrame(pd.DataFrame({"version": [version] * 20}))
            frame = frame.mf.apply_chunk(
                _same, batch_rows=10, dtypes=frame.dtypes, output_type="dataframe", skip_infer=True
            )
            output = md.to_odps_table(frame, self.table, overwrite=True, lifecycle=1)
            isolated = session._isolated_session
            graph, _ = gen_submit_tileable_graph(isolated, [output.data], {})
            replaced = isolated._scan_and_replace_local_sources(graph)
            infos = isolated._get_input_infos(list(replaced.values()))
            dag = isolated._caller.submit_dag(graph, infos, isolated._get_diff_settings())
            return session.session_id, dag.dag_id

    def verify(self) -> None:
        if not insist(lambda: self.clients.odps.exist_table(self.table)):
            found = None
        else:
            rows = self.rows(f"SELECT version, count(*) FROM {self.table} GROUP BY version")
            assert [count for _, count in rows] in ([], [20]), rows
            found = rows[0][0] if rows else None
        self.slot.check(found, self.table)


def _same(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _object(clients: Clients, key: str) -> tuple[int, str] | None:
    """Return version and digest of an object; its headers and content must be of one version."""
    try:
        answer = clients.oss.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key))
        content = answer.body.content
    except oss.exceptions.OperationError as error:
        inner = error.unwrap()
        if isinstance(inner, oss.exceptions.ServiceError) and inner.code == "NoSuchKey":
            return None
        raise
    assert "version" in (answer.metadata or {}), f"{key} has lost its headers"
    etag = answer.etag.strip('"')
    assert "-" in etag or etag == hashlib.md5(content).hexdigest().upper(), f"{key} has another's ETag"
    return int(answer.metadata["version"]), _digest(content)
