"""The real MaxCompute SDK against the local cloud: metadata, tunnel, instances, access."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pandas as pd
import pyarrow as pa
import pytest
import requests
from maxframe.learn.utils.odpsio import read_odps_model
from odps import ODPS, dbapi, errors
from odps.accounts import BearerTokenAccount, CloudAccount, StsAccount
from odps.config import option_context, options
from odps.models import TableSchema
from odps.tunnel import TableTunnel
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from maxcompute_local.odps.tasks import Instance, Task
from tests.integration.odps_cloud import ACCESS_KEY, PROJECT, SECRET, RunningOdps

UNICODE_VALUE = "上海 50%+a&b"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningOdps]:
    cloud = RunningOdps(tmp_path_factory.mktemp("odps"))
    yield cloud
    cloud.stop()


@pytest.fixture
def odps(cloud: RunningOdps) -> ODPS:
    return cloud.client()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.partition("[")[0]


def rows_of(odps: ODPS, query: str, **options: bool) -> list[tuple]:
    with odps.execute_sql(query).open_reader(**options) as reader:
        return [tuple(record.values) for record in reader]


# Metadata


def test_project_and_tables(odps: ODPS, name: str) -> None:
    assert odps.exist_project(PROJECT)
    assert not odps.exist_project("nowhere")
    assert PROJECT in [p.name for p in odps.list_projects()]
    schema = TableSchema.from_lists(["a", "b"], ["string", "bigint"], ["ds"], ["string"])
    table = odps.create_table(name, schema, comment="it's", lifecycle=3)
    assert odps.exist_table(name)
    table = odps.get_table(name)
    assert [(c.name, str(c.type).lower()) for c in table.table_schema.simple_columns] == [
        ("a", "string"),
        ("b", "bigint"),
    ]
    assert [c.name for c in table.table_schema.partitions] == ["ds"]
    assert (table.comment, table.lifecycle) == ("it's", 3)
    assert name in [t.name for t in odps.list_tables(prefix=name)]
    with pytest.raises(errors.ODPSError, match="already exists"):
        odps.create_table(name, schema)
    odps.create_table(name, schema, if_not_exists=True)
    odps.delete_table(name)
    assert not odps.exist_table(name)
    with pytest.raises(errors.NoSuchObject):
        odps.get_table(name).reload()
    odps.delete_table(name, if_exists=True)


def test_partitions_with_unicode_values(odps: ODPS, name: str) -> None:
    table = odps.create_table(name, ("n bigint", "ds string, region string"))
    spec = f"ds=20261120,region={UNICODE_VALUE}"
    table.create_partition(spec)
    assert table.exist_partition(spec)
    assert not table.exist_partition("ds=20261120,region=elsewhere")
    with table.open_writer(partition=spec) as writer:
        writer.write([[1], [2]])
    assert [dict(p.partition_spec.kv) for p in table.partitions] == [
        {"ds": "20261120", "region": UNICODE_VALUE}
    ]
    assert rows_of(
        odps, f"SELECT n, region FROM {name} WHERE region='{UNICODE_VALUE}' ORDER BY n LIMIT 9"
    ) == [
        (1, UNICODE_VALUE),
        (2, UNICODE_VALUE),
    ]
    assert table.get_partition(spec).physical_size > 0
    table.delete_partition(spec)
    assert not table.exist_partition(spec)
    with pytest.raises(errors.ODPSError, match="does not exist"):
        table.delete_partition(spec)
    table.delete_partition(spec, if_exists=True)


def test_schemas(odps: ODPS) -> None:
    odps.create_schema("side")
    assert {s.name for s in odps.list_schemas()} == {"default", "side"}
    odps.create_table("t", "a bigint", schema="side", hints={"odps.namespace.schema": "true"})
    assert odps.exist_table("t", schema="side")
    assert not odps.exist_table("t")
    odps.execute_sql(f"DROP TABLE {PROJECT}.side.t")
    odps.delete_schema("side")
    assert not odps.exist_schema("side")


def test_the_project_stands_for_its_schema(odps: ODPS, name: str) -> None:
    odps.create_table(name, "a bigint")
    assert odps.get_table(name, schema=PROJECT).table_schema.names == ["a"]
    with pytest.raises(errors.NoSuchObject):
        odps.get_table(name, schema="nowhere").reload()
    odps.create_schema(PROJECT)
    assert not odps.exist_table(name, schema=PROJECT)
    odps.delete_schema(PROJECT)


def test_what_is_known_of_a_partition(odps: ODPS, name: str) -> None:
    partition = odps.create_table(name, ("n bigint", "ds string")).create_partition("ds=1")
    assert (partition.file_num, partition.physical_size) == (0, 0)
    assert not partition.is_loaded
    assert partition.creation_time is not None
    assert partition.is_loaded


def test_char_is_filled_up_however_it_comes(odps: ODPS, name: str) -> None:
    options.sql.use_odps2_extension = True
    table = odps.create_table(name, "n bigint, c char(4)")
    odps.write_table(name, [[1, "ab"], [2, "ab  "], [3, None], [4, "中文"]])
    odps.write_table(name, pd.DataFrame({"n": [5], "c": ["ab"]}))
    odps.execute_sql(f"INSERT INTO {name} SELECT 6, 'ab'")
    found = sorted((r["n"], r["c"]) for r in table.open_reader())
    assert found == [(1, "ab  "), (2, "ab  "), (3, None), (4, "中文  "), (5, "ab  "), (6, "ab  ")]
    assert rows_of(odps, f"SELECT COUNT(*) FROM {name} WHERE c = 'ab'") == [(4,)]


def test_head_shows_partition_columns(odps: ODPS, name: str) -> None:
    table = odps.create_table(name, ("n bigint, t timestamp", "ds string"))
    moment = pd.Timestamp("2026-11-20 01:02:03.123456")
    with table.open_writer(partition="ds=1", create_partition=True) as writer:
        writer.write([[7, moment], [8, None]])
    assert [r.values for r in table.head(5)] == [[7, moment, "1"], [8, None, "1"]]
    assert [r.values for r in table.head(1, columns=["ds"])] == [["1"]]


# Tunnel

ALL_TYPES = [
    ("s", "string", "x\0y中文\n\"'\\"),
    ("i", "bigint", -(2**63) + 1),
    ("d", "double", 0.1),
    ("b", "boolean", True),
    ("dt", "datetime", datetime(2026, 11, 20, 1, 2, 3, 456000)),
    ("day", "date", date(1969, 12, 31)),
    ("dec", "decimal(20,4)", Decimal("-12.3400")),
    ("bin", "binary", b"\x00\xff"),
    ("t", "timestamp", pd.Timestamp("2026-11-20 01:02:03.123456789")),
    ("ntz", "timestamp_ntz", pd.Timestamp("1960-01-01 00:00:00.000000001")),
    ("a", "array<string>", ["x", None]),
    ("m", "map<string,bigint>", {"k": 1}),
    ("st", "struct<f:string,g:array<bigint>>", {"f": "v", "g": [1, 2]}),
    ("tiny", "tinyint", -1),
    ("f", "float", 0.5),
    ("vc", "varchar(10)", "v"),
]


def test_records_of_every_type(odps: ODPS, name: str) -> None:
    columns = ", ".join(f"{column} {kind}" for column, kind, _ in ALL_TYPES)
    table = odps.create_table(name, columns)
    values = [value for _, _, value in ALL_TYPES]
    with table.open_writer() as writer:
        writer.write([values, [None] * len(values)])
    with table.open_reader() as reader:
        first, second = (list(record.values) for record in reader)
    first[12] = dict(zip(("f", "g"), first[12], strict=True)) if isinstance(first[12], tuple) else first[12]
    assert first == values
    assert second == [None] * len(values)
    with table.open_reader(arrow=True) as reader:
        arrow = reader.read_all()
    frame = (arrow if isinstance(arrow, pa.Table) else pa.Table.from_batches([arrow])).to_pylist()
    assert frame[0]["s"] == values[0]
    assert frame[0]["m"] == [("k", 1)]
    assert frame[1]["dec"] is None
    # What was stored is what SQL sees.
    assert rows_of(odps, f"SELECT s, i, dec, dt, t, ntz, tiny, st.f FROM {name} WHERE i IS NOT NULL") == [
        (values[0], values[1], values[6], values[4], values[8], values[9], -1, "v")
    ]


def test_blocks_keep_their_order(odps: ODPS, name: str) -> None:
    odps.create_table(name, "n bigint")
    session = TableTunnel(odps).create_upload_session(name)
    for block in (2, 0, 1):
        with session.open_record_writer(block) as writer:
            for n in range(3):
                record = session.new_record([block * 10 + n])
                writer.write(record)
    with session.open_record_writer(1) as writer:
        writer.write(session.new_record([10]))
    assert [r.values[0] for r in odps.read_table(name)] == []
    session.commit([0, 1, 2])
    assert [r.values[0] for r in odps.read_table(name)] == [0, 1, 2, 10, 20, 21, 22]
    download = TableTunnel(odps).create_download_session(name)
    assert download.count == 7
    with download.open_record_reader(2, 3) as reader:
        assert [r.values[0] for r in reader] == [2, 10, 20]


def test_compressed_blocks(odps: ODPS, name: str) -> None:
    table = odps.create_table(name, "s string")
    text = "drive" * 30000
    with table.open_writer(compress_algo="zlib") as writer:
        writer.write([[text], [text]])
    assert [len(r[0]) for r in odps.read_table(name)] == [150000, 150000]


@pytest.mark.parametrize("rows", [0, 5, 40000])
def test_arrow_in_several_blocks(odps: ODPS, name: str, rows: int) -> None:
    odps.delete_table(name, if_exists=True)
    table = odps.create_table(name, ("n bigint, s string", "ds string"))
    data = pa.table({"n": range(rows), "s": [f"row {n}" for n in range(rows)]})
    with table.open_writer("ds=1", create_partition=True, arrow=True) as writer:
        for batch in data.to_batches(max_chunksize=15000):
            writer.write(batch)
    with table.open_reader("ds=1", arrow=True) as reader:
        assert reader.count == rows
        read = reader.to_pandas()
    assert list(read["n"]) == list(range(rows))
    if rows:
        with table.open_reader("ds=1", columns=["s"], arrow=True) as reader:
            assert list(reader.to_pandas()["s"]) == data["s"].to_pylist()
        download = TableTunnel(odps).create_download_session(name, partition_spec="ds=1")
        with download.open_arrow_reader(rows - 2, 2) as reader:
            assert reader.to_pandas().to_dict("list") == {
                "n": [rows - 2, rows - 1],
                "s": [f"row {rows - 2}", f"row {rows - 1}"],
            }


def test_write_table_of_a_frame(odps: ODPS, name: str) -> None:
    frame = pd.DataFrame(
        {
            "text": ["a", None, "c"],
            "number": [1, 2, 3],
            "when": pd.to_datetime(["2026-11-20 10:00:00", None, "2026-11-20 12:00:00"]),
        }
    )
    odps.write_table(name, frame, partition="ds=1", create_table=True, create_partition=True)
    read = odps.get_table(name).get_partition("ds=1").to_pandas()
    assert list(read["number"]) == [1, 2, 3]
    assert [t if isinstance(t, str) else None for t in read["text"]] == ["a", None, "c"]
    assert read["when"].isna().tolist() == [False, True, False]
    odps.write_table(name, frame[:1], partition="ds=1", overwrite=True)
    assert len(odps.get_table(name).get_partition("ds=1").to_pandas()) == 1


def test_what_cannot_be_uploaded(odps: ODPS, name: str) -> None:
    table = odps.create_table(name, ("n bigint", "ds string"))
    with pytest.raises(errors.NoSuchPartition):
        table.open_writer(partition="ds=1")
    with pytest.raises(errors.ODPSError, match="partition is required"):
        table.open_writer()
    table.create_partition("ds=1")
    session = TableTunnel(odps).create_upload_session(name, partition_spec="ds=1")
    url = f"{table.resource()}?uploadid={session.id}&blockid=0&arrow"
    with pytest.raises(errors.InvalidArgument, match="cannot be read"):
        odps.rest.put(
            url, data=b"\x00\x01\x00\x00rubbish", headers={"Content-Type": "application/octet-stream"}
        )
    with pytest.raises(errors.ODPSError, match="does not exist"):
        odps.rest.put(f"{table.resource()}?uploadid=unknown&blockid=0", data=b"")


def test_a_download_that_is_out_of_date(odps: ODPS, name: str) -> None:
    table = odps.create_table(name, "n bigint")
    odps.write_table(name, [[1]])
    session = TableTunnel(odps).create_download_session(name)
    odps.execute_sql(f"INSERT OVERWRITE TABLE {name} SELECT 2")
    # A reader keeps its snapshot; one that looks again is told to begin anew.
    with session.open_record_reader(0, 1) as reader:
        assert reader.read().values == [1]
    with pytest.raises(errors.TableModified):
        session.reload()
    assert [r.values for r in odps.read_table(table.name)] == [[2]]


# Instances


@pytest.mark.parametrize("tunnel", [True, False])
def test_results_by_both_readers(odps: ODPS, tunnel: bool) -> None:
    query = (
        "SELECT CAST(NULL AS STRING) AS empty, 'a,\"b\"\n中' AS text, 1 AS n, 0.5 AS half, true AS yes, "
        "CAST('2026-11-20 01:02:03' AS DATETIME) AS at"
    )
    assert rows_of(odps, query, tunnel=tunnel) == [
        (None, 'a,"b"\n中', 1, 0.5, True, datetime(2026, 11, 20, 1, 2, 3))
    ]


def test_results_as_a_frame(odps: ODPS, name: str) -> None:
    odps.write_table(name, pd.DataFrame({"n": range(20000)}), create_table=True)
    with odps.execute_sql(f"SELECT n, n * 2 AS m FROM {name} ORDER BY n DESC").open_reader(
        tunnel=True
    ) as reader:
        frame = reader.to_pandas()
    assert list(frame["n"]) == list(range(19999, -1, -1))
    assert list(frame["m"][:2]) == [39998, 39996]


def test_db_api(odps: ODPS, name: str) -> None:
    odps.write_table(name, pd.DataFrame({"n": [1, 2, 3]}), create_table=True)
    connection = dbapi.connect(odps)
    cursor = connection.cursor()
    cursor.execute(f"SELECT n, n * 10 AS ten FROM {name} WHERE n > :low ORDER BY n", {"low": 1})
    assert [tuple(row) for row in cursor.fetchall()] == [(2, 20), (3, 30)]
    assert [column[0] for column in cursor.description] == ["n", "ten"]
    cursor.close()
    connection.close()


@pytest.mark.parametrize(
    ("query", "expected", "text"),
    [
        ("SELECT * FROM not_there", errors.NoSuchTable, "not_there"),
        ("SELEC 1", errors.ParseError, "SELEC"),
        ("SELECT FROM WHERE", errors.ParseError, "Parse exception"),
        ("UPDATE t SET a = 1", errors.ParseError, "UPDATE"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", errors.ParseError, "MERGE"),
        ("GRANT SELECT ON t TO u", errors.ParseError, "GRANT"),
        ("SELECT nope FROM (SELECT 1 AS a) t", errors.ODPSError, "nope"),
        ("SELECT bround(2.5)", errors.ODPSError, "bround"),
        ("SELECT CAST('abc' AS BIGINT)", errors.ODPSError, "ODPS-0123091"),
    ],
)
def test_failures_have_their_own_classes(
    odps: ODPS, query: str, expected: type[Exception], text: str
) -> None:
    with pytest.raises(expected, match=text):
        odps.execute_sql(query)


def test_instances_can_be_found_again(odps: ODPS) -> None:
    instance = odps.run_sql("SELECT 42 AS answer", hints={"odps.sql.type.system.odps2": "true"})
    instance.wait_for_success()
    again = odps.get_instance(instance.id)
    assert again.is_successful()
    assert "SELECT 42" in again.get_sql_query()
    assert instance.id in [i.id for i in odps.list_instances()]
    with again.open_reader() as reader:
        assert next(iter(reader))["answer"] == 42
    with pytest.raises(errors.InvalidStateSetting):
        instance.stop()
    with pytest.raises(errors.NoSuchObject):
        odps.get_instance("20260101000000000gnothing").reload()


def test_a_running_query_can_be_stopped(odps: ODPS, name: str) -> None:
    odps.write_table(name, pd.DataFrame({"n": range(30000)}), create_table=True)
    query = f"SELECT COUNT(*) FROM {name} a JOIN {name} b ON a.n < b.n JOIN {name} c ON b.n < c.n"
    instance = odps.run_sql(query)
    instance.stop()
    with pytest.raises(errors.ODPSError):
        instance.wait_for_success()
    assert not instance.is_successful()


# Task services


class Recorder:
    """A task service that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def start(self, instance: Instance, task: Task, record: Callable[[], None]) -> None:
        record()
        self.calls.append(("start", instance.id, task.command, dict(task.settings)))

    def get_info(self, instance: Instance, task_name: str, key: str) -> str:
        return f'{{"status": "{instance.status}", "key": "{key}", "task": "{task_name}"}}'

    def put_info(self, instance: Instance, task_name: str, method: str, value: str) -> str:
        return f'{{"method": "{method}", "value": {value}}}'

    def stop(self, instance: Instance) -> None:
        self.calls.append(("stop", instance.id))

    def recover(self, instance: Instance) -> None:
        self.calls.append(("recover", instance.id))

    def logview(self, instance: Instance, dag_id: str | None) -> str:
        return f"<p>dag {dag_id}</p>"


JOB = """<Instance><Job><Priority>9</Priority><Tasks><MaxFrame><Name>T</Name><Config><Property>
<Name>settings</Name><Value>{"a": "b"}</Value></Property></Config><Command>CREATE_SESSION</Command></MaxFrame>
</Tasks><DAG><RunMode>Sequence</RunMode></DAG></Job></Instance>"""


def submit(odps: ODPS) -> str:
    response = odps.rest.post(
        odps.get_project().instances.resource(), data=JOB, headers={"Content-Type": "application/xml"}
    )
    return str(response.headers["Location"].rpartition("/")[2])


def test_task_services(tmp_path: Path) -> None:
    cloud = RunningOdps(tmp_path)
    recorder = Recorder()
    cloud.service.register_task_service("MaxFrame", recorder)
    odps = cloud.client()
    first, second = submit(odps), submit(odps)
    assert recorder.calls[0] == ("start", first, "CREATE_SESSION", {"a": "b"})
    instance = odps.get_instance(first)
    assert instance.status.value == "Running"
    info = instance.get_task_info("T", "status")
    assert '"Running"' in info
    assert '"key": "status"' in info
    assert '"method": "DO", "value": 5' in instance.put_task_info("T", "DO", "5")
    instance.stop()
    assert recorder.calls[-1] == ("stop", first)
    assert odps.get_instance(first).is_terminated()
    link = odps.get_instance(second).get_logview_address()
    assert "<p>dag d1</p>" in requests.get(f"{link}&dagId=d1", timeout=10).text
    cloud.stop()

    cloud = RunningOdps(tmp_path)
    recorder = Recorder()
    cloud.service.register_task_service("MaxFrame", recorder)
    assert recorder.calls == [("recover", second)]
    odps = cloud.client()
    found = cloud.service._instances.get(PROJECT, second)
    cloud.service.finish_instance(found, error="ODPS-0123055:Script exception - broke")
    with pytest.raises(errors.ScriptError, match="broke"):
        odps.get_instance(second).wait_for_success()
    assert found.terminated
    cloud.stop()


def test_tasks_that_nobody_runs(odps: ODPS) -> None:
    with pytest.raises(errors.InvalidArgument, match="MaxFrame"):
        submit(odps)


# Access


def test_signatures(cloud: RunningOdps) -> None:
    with pytest.raises(errors.SignatureNotMatch):
        cloud.client(secret="wrong").exist_table("t")
    assert cloud.client(region_name="cn-shanghai").exist_project(PROJECT)
    with pytest.raises(errors.SignatureNotMatch):
        cloud.client(secret="wrong", region_name="cn-shanghai").exist_project(PROJECT)
    endpoint = cloud.service.endpoint
    with pytest.raises(errors.Unauthorized):
        ODPS("stranger", SECRET, project=PROJECT, endpoint=endpoint, overwrite_global=False).exist_table("t")
    sts = StsAccount(ACCESS_KEY, SECRET, "security-token")
    assert ODPS(account=sts, project=PROJECT, endpoint=endpoint, overwrite_global=False).exist_project(
        PROJECT
    )
    assert requests.get(f"{endpoint}/projects/{PROJECT}", timeout=10).status_code == 401


@pytest.mark.parametrize("region", [None, "cn-shanghai"], ids=["v2", "v4"])
@pytest.mark.parametrize("minutes", [-16, -14, 14, 16])
def test_signatures_are_good_for_15_minutes(
    cloud: RunningOdps,
    odps: ODPS,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    minutes: int,
    region: str | None,
) -> None:
    odps.create_table(name, "n bigint", if_not_exists=True)
    client = cloud.client(region_name=region)
    tunnel = TableTunnel(client)
    tunnel.create_download_session(name)
    signed_at = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr("odps.accounts.utils.formatdate", lambda **_: format_datetime(signed_at, usegmt=True))
    if abs(minutes) < 15:
        client.get_table(name).reload()
        tunnel.create_upload_session(name)
        return
    for call in (client.get_table(name).reload, lambda: tunnel.create_upload_session(name)):
        with pytest.raises(errors.RequestTimeTooSkewed) as caught:
            call()
        assert caught.value.max_interval_date == 900_000
        difference = caught.value.expire_date - caught.value.now_date
        assert difference.total_seconds() == pytest.approx(minutes * 60, abs=30)


@pytest.mark.parametrize("date", [None, "yesterday", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_signatures_need_their_date(cloud: RunningOdps, date: str | None) -> None:
    request = SimpleNamespace(method="GET", headers={"Date": date or "none"}, url="")
    path = f"/projects/{PROJECT}"
    account = CloudAccount(ACCESS_KEY, SECRET)
    canonical = account._build_canonical_str(urlparse(path), request)
    headers = {"Authorization": account.calc_auth_str(canonical)} | ({"Date": date} if date else {})
    answer = requests.get(f"{cloud.service.endpoint}{path}", headers=headers, timeout=10)
    assert (answer.status_code, "Date header" in answer.text) == (401, True)


def test_endpoint_with_a_path(cloud: RunningOdps, name: str) -> None:
    odps = ODPS(
        ACCESS_KEY, SECRET, project=PROJECT, endpoint=f"{cloud.service.endpoint}/api", overwrite_global=False
    )
    odps.write_table(name, pd.DataFrame({"n": [1]}), create_table=True)
    assert rows_of(odps, f"SELECT n FROM {name}") == [(1,)]


def test_bearer_tokens(tmp_path: Path) -> None:
    cloud = RunningOdps(tmp_path)
    token = cloud.service.tokens.issue("maxframe:session")
    revoked = cloud.service.tokens.issue("maxframe:other")
    cloud.service.tokens.revoke("maxframe:other")
    cloud.stop()
    assert token.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*.sqlite*"))

    cloud = RunningOdps(tmp_path)
    endpoint = cloud.service.endpoint

    def client(value: str) -> ODPS:
        account = BearerTokenAccount(value)
        return ODPS(account=account, project=PROJECT, endpoint=endpoint, overwrite_global=False)

    odps = client(token)
    odps.write_table("t", pd.DataFrame({"n": [5]}), create_table=True)
    assert rows_of(odps, "SELECT n FROM t") == [(5,)]
    with pytest.raises(errors.Unauthorized):
        client(revoked).exist_table("t")
    cloud.stop()


def test_logview(cloud: RunningOdps, odps: ODPS) -> None:
    instance = odps.run_sql("SELECT '<script>alert(1)</script>' FROM not_there")
    with pytest.raises(errors.NoSuchTable):
        instance.wait_for_success()
    link = instance.get_logview_address()
    page = requests.get(link, timeout=10)
    assert page.status_code == 200
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text
    assert "not_there" in page.text
    token = link.partition("token=")[2]
    other = odps.execute_sql("SELECT 1")
    forged = link.replace(instance.id, other.id)
    assert requests.get(forged, timeout=10).status_code == 403
    assert requests.get(link.replace(token, "guess"), timeout=10).status_code == 403
    account = BearerTokenAccount(token)
    reader = ODPS(account=account, project=PROJECT, endpoint=cloud.service.endpoint, overwrite_global=False)
    with pytest.raises(errors.Unauthorized):
        reader.exist_table("t")


# Models and neighbours


def test_models(odps: ODPS, cloud: RunningOdps) -> None:
    assert odps.exist_project("models_only")
    with option_context():
        options.catalog.endpoint = odps.get_catalog_host()
        model = read_odps_model("eye", project="models_only", odps_entry=odps)
        assert type(model).__name__ == "ManagedMultiModalGenLLM"
        assert [m.name for m in odps.list_models(project="models_only")] == ["eye"]
        with pytest.raises(errors.NoSuchObject):
            read_odps_model("nobody", project="models_only", odps_entry=odps)
    assert cloud.stats.snapshot()["odps.catalog.get_model"] == 2


def test_extra_routes_and_counters(tmp_path: Path) -> None:
    async def hello(_request: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    cloud = RunningOdps(tmp_path, extra_routes=[Route("/models/hello", hello)])
    assert requests.get(f"{cloud.service.endpoint}/models/hello", timeout=10).text == "hello"
    odps = cloud.client()
    odps.write_table("t", pd.DataFrame({"n": [5]}), create_table=True)
    rows_of(odps, "SELECT n FROM t", tunnel=True)
    counts = cloud.stats.snapshot()
    assert counts["odps.tunnel.upload_block"] == 1
    assert counts["odps.tunnel.read"] == 1
    assert counts["odps.sql.select"] == 1
    assert counts["odps.sql.create"] == 1
    assert counts["odps.create_instance"] == 2
    assert cloud.service.list_tables(PROJECT, "t") == ["t"]
    cloud.service.drop_table(PROJECT, "t")
    assert cloud.service.list_tables(PROJECT, "") == []
    cloud.stop()


# Atomicity and restart


def test_concurrent_writers_and_readers(cloud: RunningOdps, odps: ODPS, name: str) -> None:
    table = odps.create_table(name, ("writer bigint", "ds string"))
    for ds in ("append", "overwrite"):
        table.create_partition(f"ds={ds}")
    stop = threading.Event()
    seen: list[set[int]] = []

    def append(writer: int) -> None:
        client = cloud.client()
        for _ in range(5):
            client.write_table(name, [[writer]] * 20, partition="ds=append")

    def overwrite(writer: int) -> None:
        client = cloud.client()
        rows = " UNION ALL ".join([f"SELECT {writer}"] * 30)
        for _ in range(4):
            client.execute_sql(f"INSERT OVERWRITE TABLE {name} PARTITION (ds='overwrite') {rows}")

    def read() -> None:
        client = cloud.client()
        while not stop.is_set():
            query = f"SELECT writer, COUNT(*) FROM {name} WHERE ds='overwrite' GROUP BY writer"
            found = rows_of(client, query)
            seen.append({count for _, count in found} | ({-1} if len(found) > 1 else set()))

    with ThreadPoolExecutor(7) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(append, n) for n in range(3)] + [pool.submit(overwrite, n) for n in range(3)]
        for future in writers:
            future.result()
        stop.set()
        reader.result()
    assert rows_of(odps, f"SELECT COUNT(*) FROM {name} WHERE ds='append'") == [(300,)]
    assert len(seen) > 0
    assert all(counts <= {30} for counts in seen)


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    cloud = RunningOdps(tmp_path)
    odps = cloud.client()
    odps.write_table(
        "t", pd.DataFrame({"n": [1, 2]}), partition="ds=1", create_table=True, create_partition=True
    )
    odps.execute_sql("INSERT OVERWRITE TABLE t PARTITION (ds='1') SELECT n + 10 FROM t WHERE ds='1'")
    finished = odps.execute_sql("SELECT n FROM t ORDER BY n")
    failed = odps.run_sql("SELECT FROM")
    with pytest.raises(errors.ParseError):
        failed.wait_for_success()
    session = TableTunnel(odps).create_upload_session("t", partition_spec="ds=1")
    with session.open_record_writer(0) as writer:
        writer.write(session.new_record([99]))
    cloud.stop()
    half_written = tmp_path / "data" / "lost" / "p0=v1" / "half.parquet"
    half_written.parent.mkdir(parents=True)
    half_written.write_bytes(b"PAR1")

    cloud = RunningOdps(tmp_path)
    odps = cloud.client()
    assert not half_written.exists()
    assert sorted(r.values[0] for r in odps.read_table("t", partition="ds=1")) == [11, 12]
    with odps.get_instance(finished.id).open_reader(tunnel=True) as reader:
        assert [r.values[0] for r in reader] == [11, 12]
    with pytest.raises(errors.ParseError):
        odps.get_instance(failed.id).wait_for_success()
    again = TableTunnel(odps).create_upload_session("t", partition_spec="ds=1", upload_id=session.id)
    again.commit([0])
    assert sorted(r.values[0] for r in odps.read_table("t", partition="ds=1")) == [11, 12, 99]
    # The overwritten file went at startup, those of the table stay.
    assert len(list((tmp_path / "data").rglob("*.parquet"))) == 2
    cloud.stop()


def test_polling_does_not_block_other_calls(cloud: RunningOdps, odps: ODPS, name: str) -> None:
    odps.write_table(name, pd.DataFrame({"n": range(30000)}), create_table=True)
    slow = odps.run_sql(
        f"SELECT COUNT(*) FROM {name} a JOIN {name} b ON a.n < b.n JOIN {name} c ON b.n < c.n"
    )
    poll = threading.Thread(target=lambda: slow.status)
    poll.start()
    started = time.monotonic()
    assert odps.exist_table(name)
    assert poll.is_alive()
    assert time.monotonic() - started < 5
    slow.stop()
    poll.join()
