"""What scripts for MaxCompute rely on, stated through the unmodified SDK: lists, data, results, errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from odps import ODPS, dbapi, errors, options, types
from odps.accounts import BearerTokenAccount
from odps.apis import storage_api
from odps.models import Instance, TableSchema
from odps.models.tables import Tables
from odps.tunnel import TableTunnel

EVERYTHING = {
    "Version": "1",
    "Statement": [{"Action": ["odps:*"], "Resource": "acs:odps:*:*", "Effect": "Allow"}],
}
ALL_TYPES = (
    "a bigint, b string, c double, d boolean, e datetime, f decimal(38,18), g int, h smallint, i tinyint, "
    "j float, k varchar(10), l binary, m date, n timestamp, o timestamp_ntz, p array<string>, "
    "q map<string,bigint>, r struct<x:bigint,y:array<double>>, s decimal(5,2), t array<map<string,date>>"
)
FULL_ROW = [
    -(2**63) + 1,
    "中文 \n\t\"'\\ 😀",
    -0.5,
    True,
    datetime(2026, 1, 31, 23, 59, 59, 123000),
    Decimal("-12345678901234567890.123456789012345678"),
    2**31 - 1,
    -(2**15),
    127,
    1.5,
    "ten letter",
    b"\x00\xff\x80",
    date(1970, 1, 1),
    pd.Timestamp("2026-01-31 01:02:03.123456789"),
    pd.Timestamp("1999-12-31 23:59:59.999999999"),
    ["a", None, ""],
    {"one": 1, "none": None},
    {"x": 7, "y": [0.25, None]},
    Decimal("-999.99"),
    [{"d": date(2020, 2, 29)}, None],
]


@pytest.fixture
def partitioned(odps_client: ODPS, table: str) -> Iterator[types.Any]:
    made = odps_client.create_table(table, ("a bigint, b string", "ds string, hh bigint"))
    yield made
    made.drop()


def values(records: object) -> list[list[object]]:
    return [list(record.values) for record in records]


# Tables


def test_the_life_of_a_table(odps_client: ODPS, table: str) -> None:
    schema = TableSchema.from_lists(["id", "txt"], ["bigint", "string"], ["ds"], ["string"])
    schema.columns[0].comment = "the id"
    made = odps_client.create_table(table, schema, comment="a 'quoted' comment", lifecycle=7)
    assert odps_client.exist_table(table)
    assert odps_client.exist_table(table.upper())
    found = odps_client.get_table(table)
    found.reload()
    assert (found.comment, found.lifecycle, found.type) == ("a 'quoted' comment", 7, made.Type.MANAGED_TABLE)
    assert [(c.name, c.type.name, c.comment) for c in found.table_schema.simple_columns] == [
        ("id", "bigint", "the id"),
        ("txt", "string", ""),
    ]
    assert [c.name for c in found.table_schema.partitions] == ["ds"]
    assert found.creation_time <= datetime.now()
    with pytest.raises(errors.ODPSError, match="already exists"):
        odps_client.create_table(table, schema)
    odps_client.create_table(table, schema, if_not_exists=True)
    found.set_lifecycle(3)
    found.set_comment("another")
    found.add_columns("extra double")
    found.rename_column("txt", "text")
    found.delete_columns("extra")
    found.reload()
    assert [c.name for c in found.table_schema.simple_columns] == ["id", "text"]
    assert (found.lifecycle, found.comment) == (3, "another")
    found.rename(f"{table}_new")
    assert not odps_client.exist_table(table)
    odps_client.delete_table(f"{table}_new")
    odps_client.delete_table(table, if_exists=True)
    with pytest.raises(errors.NoSuchTable):
        odps_client.delete_table(table)


def test_what_is_missing_raises_its_own_class(odps_client: ODPS, partitioned: types.Any) -> None:
    with pytest.raises(errors.NoSuchObject, match="no_such_table"):
        odps_client.get_table("no_such_table").reload()
    with pytest.raises(errors.NoSuchTable, match="no_such_table"):
        odps_client.execute_sql("SELECT * FROM no_such_table")
    with pytest.raises(errors.NoSuchPartition):
        partitioned.get_partition("ds='1',hh='1'").reload()
    with pytest.raises(errors.NoSuchPartition):
        partitioned.open_writer("ds='1',hh='1'")
    with pytest.raises(errors.ODPSError, match="partition does not exist"):
        partitioned.delete_partition("ds='1',hh='1'")
    with pytest.raises(errors.NoSuchProject):
        odps_client.get_project("no_such_project").reload()
    with pytest.raises(errors.NoSuchObject):
        odps_client.get_instance("20260101000000000gabcdef").reload()
    assert not odps_client.exist_table("no_such_table")
    assert not odps_client.exist_project("no_such_project")
    assert not odps_client.exist_instance("20260101000000000gabcdef")


def test_lists_of_tables_are_filtered_and_paged(odps_client: ODPS, table: str) -> None:
    made = [f"{table}_{number:02}" for number in range(12)]
    for name in made[:-1]:
        odps_client.create_table(name, "a bigint")
    odps_client.execute_sql(f"CREATE VIEW {made[-1]} AS SELECT a FROM {made[0]}")
    assert [found.name for found in odps_client.list_tables(prefix=table)] == made
    assert [found.name for found in odps_client.list_tables(prefix=table, type="VIRTUAL_VIEW")] == made[-1:]
    assert list(odps_client.list_tables(prefix=table, owner="somebody else")) == []
    extended = {found.name: found for found in odps_client.list_tables(prefix=table, extended=True)}
    assert extended[made[0]].table_schema.names == ["a"]

    url = odps_client.get_project().tables.resource()
    pages, marker = [], None
    while marker != "":
        query = {
            "expectmarker": "true",
            "name": table,
            "maxitems": 5,
            **({"marker": marker} if marker else {}),
        }
        answer = Tables.parse(odps_client.rest, odps_client.rest.get(url, params=query))
        pages.append([found.name for found in answer.tables])
        marker = answer.marker or ""
    assert pages == [made[:5], made[5:10], made[10:]]
    for name in made:
        odps_client.delete_table(name) if name != made[-1] else odps_client.delete_view(name)


def test_views(odps_client: ODPS, table: str) -> None:
    source = odps_client.create_table(table, "a bigint, b string")
    odps_client.write_table(source, [[1, "x"], [2, "y"]])
    odps_client.execute_sql(f"CREATE VIEW {table}_v AS SELECT a + 1 AS a1, b FROM {table} WHERE a > 1")
    odps_client.execute_sql(f"CREATE VIEW IF NOT EXISTS {table}_v AS SELECT a FROM {table}")
    view = odps_client.get_table(f"{table}_v")
    assert view.type == view.Type.VIRTUAL_VIEW
    assert view.table_schema.names == ["a1", "b"]
    with odps_client.execute_sql(f"SELECT * FROM {table}_v").open_reader(tunnel=True) as reader:
        assert values(reader) == [[3, "y"]]
    with pytest.raises(errors.InvalidArgument, match="view"):
        view.open_reader()
    odps_client.execute_sql(f"CREATE OR REPLACE VIEW {table}_v AS SELECT b FROM {table}")
    view.reload()
    assert view.table_schema.names == ["b"]
    odps_client.execute_sql(f"DROP VIEW {table}_v")
    assert not odps_client.exist_table(f"{table}_v")
    source.drop()


# Partitions


def test_partitions_come_and_go(partitioned: types.Any) -> None:
    for ds, hh in (("20260101", 1), ("20260101", 2), ("20260102", 10)):
        partitioned.create_partition(f"ds='{ds}',hh='{hh}'")
    with pytest.raises(errors.ODPSError, match="already exists"):
        partitioned.create_partition("ds='20260101',hh='1'")
    partitioned.create_partition("ds='20260101',hh='1'", if_not_exists=True)
    assert partitioned.exist_partition("ds='20260101',hh='1'")
    assert partitioned.exist_partitions("ds='20260101'")
    assert not partitioned.exist_partitions("ds='20260103'")
    assert [str(p.partition_spec) for p in partitioned.iterate_partitions("ds='20260101'")] == [
        "ds='20260101',hh='1'",
        "ds='20260101',hh='2'",
    ]
    assert len(list(partitioned.iterate_partitions("hh>1"))) == 2
    newest = next(iter(partitioned.iterate_partitions(reverse=True)))
    assert newest.partition_spec["ds"] == "20260102"
    assert partitioned.get_max_partition(skip_empty=False).partition_spec["hh"] == "10"
    partitioned.delete_partition("ds='20260101',hh='1'")
    partitioned.delete_partition("ds='20260101',hh='1'", if_exists=True)
    partitioned.delete_partition("ds='20260101',hh='2'")
    assert [p.partition_spec["ds"] for p in partitioned.partitions] == ["20260102"]
    with pytest.raises(errors.ODPSError):
        partitioned.create_partition("ds='20260101'")


def test_more_partitions_than_a_page_holds(odps_client: ODPS, table: str) -> None:
    made = odps_client.create_table(table, ("a bigint", "ds string"))
    specs = " ".join(f"PARTITION (ds='{number:05}')" for number in range(2345))
    odps_client.execute_sql(f"ALTER TABLE {table} ADD IF NOT EXISTS {specs}")
    calls: list[dict[str, object]] = []
    made.reload()
    get = odps_client.rest.get
    odps_client.rest.get = lambda *args, **kwargs: calls.append(kwargs) or get(*args, **kwargs)
    expected = [f"{number:05}" for number in range(2345)]
    assert [p.partition_spec["ds"] for p in made.partitions] == expected
    assert len(calls) == 3
    odps_client.rest.get = get
    backwards = [p.partition_spec["ds"] for p in made.iterate_partitions(reverse=True)]
    assert backwards == expected[::-1]
    made.drop()


def test_truncating_keeps_other_partitions(odps_client: ODPS, partitioned: types.Any) -> None:
    for hh in (1, 2):
        with partitioned.open_writer(f"ds='d',hh='{hh}'", create_partition=True) as writer:
            writer.write([[hh, "x"]] * 3)
    assert partitioned.get_partition("ds='d',hh='1'").record_num in (3, -1)
    odps_client.execute_sql(f"TRUNCATE TABLE {partitioned.name} PARTITION (ds='d', hh='1')")
    with partitioned.open_reader("ds='d',hh='1'") as reader:
        assert reader.count == 0
    with partitioned.open_reader("ds='d',hh='2'") as reader:
        assert reader.count == 3
    assert partitioned.get_max_partition().partition_spec["hh"] == "2"


# Data


@pytest.mark.parametrize("arrow", [False, True])
def test_every_type_comes_back(odps_client: ODPS, table: str, arrow: bool) -> None:
    with_null = [None] * len(FULL_ROW)
    options.sql.use_odps2_extension = True
    options.struct_as_dict = True
    made = odps_client.create_table(table, ALL_TYPES)
    with made.open_writer() as writer:
        writer.write([FULL_ROW, with_null])
    with made.open_reader(arrow=arrow) as reader:
        rows = [list(row.values()) for row in reader.read_all().to_pylist()] if arrow else values(reader)
    assert rows[1] == with_null
    for column, written, read in zip(made.table_schema.columns, FULL_ROW, rows[0], strict=True):
        if arrow and isinstance(written, dict) and column.name == "q":
            read = dict(read)
        elif arrow and column.name == "t":
            read = [one and dict(one) for one in read]
        elif arrow and column.name in ("e", "n"):
            read, written = pd.Timestamp(read).tz_localize(None), pd.Timestamp(written).tz_localize(None)
            read += datetime.now().astimezone().utcoffset()
        elif column.name in ("n", "o"):
            read = pd.Timestamp(read)
        assert read == written, column.name
    made.drop()


def test_blocks_sessions_and_overwriting(odps_client: ODPS, partitioned: types.Any) -> None:
    spec = "ds='d',hh='1'"
    with partitioned.open_writer(spec, blocks=[0, 1, 2], create_partition=True) as writer:
        for block in (2, 0, 1):
            writer.write(block, [[block * 10 + row, str(block)] for row in range(3)])
    with partitioned.open_reader(spec) as reader:
        assert reader.count == 9
        assert [row[0] for row in values(reader)] == [0, 1, 2, 10, 11, 12, 20, 21, 22]
        assert [row[0] for row in values(reader[3:7:2])] == [10, 12]
        assert [row[0] for row in values(reader.read(start=7, count=5))] == [21, 22]
    tunnel = TableTunnel(odps_client)
    first = tunnel.create_upload_session(partitioned.name, partition_spec=spec)
    second = tunnel.create_upload_session(partitioned.name, partition_spec=spec, upload_id=first.id)
    for session, block in ((first, 0), (second, 1)):
        with session.open_record_writer(block) as writer:
            writer.write(partitioned.new_record([block, "s"]))
    assert partitioned.get_partition(spec).reload() is None
    first.commit([0, 1])
    with partitioned.open_reader(spec) as reader:
        assert reader.count == 11
    with pytest.raises(Exception, match=r"(?i)block"):
        tunnel.create_upload_session(partitioned.name, partition_spec=spec).commit([5])
    frame = pd.DataFrame({"a": [7, 8], "b": ["x", None]})
    odps_client.write_table(partitioned, frame, partition=spec, overwrite=True)
    with partitioned.open_reader(spec, columns=["b"]) as reader:
        assert values(reader) == [["x"], [None]]
    with partitioned.open_writer(spec, arrow=True) as writer:
        writer.write(pa.RecordBatch.from_pandas(frame))
    assert odps_client.get_table(partitioned.name).to_pandas(partition=spec)["a"].tolist() == [7, 8, 7, 8]


def test_writing_without_a_partition_says_so(partitioned: types.Any) -> None:
    with pytest.raises((errors.ODPSError, ValueError), match=r"(?i)partition"):
        partitioned.open_writer()


def test_head_and_preview(odps_client: ODPS, partitioned: types.Any) -> None:
    with partitioned.open_writer("ds='d',hh='1'", create_partition=True) as writer:
        writer.write([[number, f"n{number}"] for number in range(20)])
    assert values(partitioned.head(2, partition="ds='d',hh='1'")) == [[0, "n0", "d", 1], [1, "n1", "d", 1]]
    assert [list(r.values) for r in partitioned.head(1, columns=["b"])] == [["n0"]]


# Instances


@pytest.mark.parametrize("tunnel", [True, False])
def test_results_by_both_readers(odps_client: ODPS, tunnel: bool) -> None:
    query = "SELECT CAST(n AS bigint) AS n, CAST(NULL AS string) AS s FROM VALUES (1), (2), (3) t (n)"
    with odps_client.execute_sql(query).open_reader(tunnel=tunnel) as reader:
        records = list(reader)
    assert [column.name for column in records[0]._columns] == ["n", "s"]
    assert [record["n"] for record in records] == [1, 2, 3]


def test_limited_results(odps_client: ODPS, table: str) -> None:
    odps_client.write_table(
        odps_client.create_table(table, "a bigint"), [[number] for number in range(10_005)]
    )
    instance = odps_client.execute_sql(f"SELECT * FROM {table}")
    with instance.open_reader(tunnel=True, limit=True) as reader:
        assert reader.count == 10_000
    with instance.open_reader(tunnel=True, limit=False, reopen=True) as reader:
        assert reader.count == 10_005
    with instance.open_reader(tunnel=False, limit=True) as reader:
        assert len(list(reader)) == 10_000
    with pytest.raises(errors.NotSupportedError, match="truncated"):
        instance.open_reader(tunnel=False, limit=False)
    odps_client.delete_table(table)


def test_statements_without_rows_have_a_text(odps_client: ODPS, partitioned: types.Any) -> None:
    partitioned.create_partition("ds='d',hh='1'")
    instance = odps_client.execute_sql(f"SHOW PARTITIONS {partitioned.name}")
    with pytest.raises(errors.InstanceTypeNotSupported):
        instance.open_reader(tunnel=True)
    with instance.open_reader() as reader:
        assert "ds=d/hh=1" in reader.raw


def test_what_an_instance_tells_of_itself(odps_client: ODPS) -> None:
    instance = odps_client.run_sql("SELECT 1 AS a", unique_identifier_id="my-own-id")
    instance.wait_for_success()
    assert instance.is_terminated()
    assert instance.is_successful()
    assert instance.status == Instance.Status.TERMINATED
    assert instance.get_unique_identifier_id() == "my-own-id"
    assert "SELECT 1 AS a" in instance.get_sql_query()
    assert [task.status.value for task in instance.get_task_statuses().values()] == ["SUCCESS"]
    assert instance.start_time <= instance.end_time
    assert instance.get_logview_address().startswith(odps_client.endpoint.rpartition("/")[0])
    assert instance.id in {found.id for found in odps_client.list_instances()}
    failed = odps_client.run_sql("SELECT nothing FROM nowhere")
    with pytest.raises(errors.NoSuchTable, match="nowhere"):
        failed.wait_for_success()
    assert not failed.is_successful()
    with pytest.raises(errors.ODPSError, match="may fail"):
        failed.open_reader()


def test_stopping(odps_client: ODPS, table: str) -> None:
    source = odps_client.create_table(table, "n bigint")
    odps_client.write_table(source, [[number] for number in range(30_000)])
    instance = odps_client.run_sql(
        f"SELECT COUNT(*) FROM {table} a JOIN {table} b ON a.n < b.n JOIN {table} c ON b.n < c.n"
    )
    assert not instance.is_terminated()
    instance.stop()
    with pytest.raises(errors.ODPSError):
        instance.wait_for_success()
    assert [task.status.value for task in instance.get_task_statuses().values()] == ["CANCELLED"]
    with pytest.raises(errors.InvalidStateSetting):
        instance.stop()
    source.drop()


# Sessions with a token, DB-API


def test_bearer_tokens_for_everything(odps_client: ODPS) -> None:
    token = odps_client.get_project().generate_auth_token(EVERYTHING, "bearer", 1)
    other = ODPS(
        account=BearerTokenAccount(token, 1),
        project=odps_client.project,
        endpoint=odps_client.endpoint,
        overwrite_global=False,
    )
    with other.execute_sql("SELECT 5 AS five").open_reader(tunnel=True) as reader:
        assert values(reader) == [[5]]
    narrow = {"Version": "1", "Statement": [{**EVERYTHING["Statement"][0], "Action": ["odps:Read"]}]}
    with pytest.raises(errors.InvalidArgument, match="not supported by the local cloud"):
        odps_client.get_project().generate_auth_token(narrow, "bearer", 1)


def test_db_api(odps_client: ODPS, table: str) -> None:
    connection = dbapi.connect(odps=odps_client)
    cursor = connection.cursor()
    cursor.execute(f"CREATE TABLE {table} (id BIGINT, txt STRING)")
    cursor.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, NULL)")
    cursor.execute(f"SELECT id, txt FROM {table} ORDER BY id LIMIT 10")
    assert [(column[0], column[1]) for column in cursor.description] == [("id", "bigint"), ("txt", "string")]
    assert list(cursor.fetchone()) == [1, "a"]
    assert [list(row) for row in cursor.fetchmany(5)] == [[2, "b"], [3, None]]
    assert cursor.fetchone() is None
    cursor.execute(f"SELECT txt FROM {table} WHERE id > 1 ORDER BY id LIMIT 10")
    assert [list(row) for row in cursor] == [["b"], [None]]
    cursor.execute(f"DESC {table}")
    assert "txt" in cursor.fetchone()[0]
    with pytest.raises(errors.ParseError):
        cursor.execute("SELEC")
    cursor.execute(f"DROP TABLE {table}")
    cursor.close()
    connection.close()


# Storage API


@pytest.fixture
def stored(odps_client: ODPS, partitioned: types.Any) -> storage_api.StorageApiArrowClient:
    """Two partitions of five rows each, whose last column is a time."""
    odps_client.execute_sql(f"ALTER TABLE {partitioned.name} ADD COLUMN t timestamp COMMENT 'when'")
    for hour in (1, 2):
        odps_client.execute_sql(
            f"INSERT INTO {partitioned.name} PARTITION (ds='d', hh={hour}) "
            f"SELECT a, 'x', cast('2026-01-02 03:04:05.123456789' AS TIMESTAMP) "
            f"FROM VALUES ({hour}0), ({hour}1), ({hour}2), ({hour}3), ({hour}4) AS v(a)"
        )
    return storage_api.StorageApiArrowClient(odps_client, odps_client.get_table(partitioned.name))


def rows_of(client: storage_api.StorageApiArrowClient, session: str, **request: int) -> pa.Table:
    reader = client.read_rows_arrow(storage_api.ReadRowsRequest(session, **request))
    batches = []
    while (batch := reader.read()) is not None:
        batches.append(batch)
    return pa.Table.from_batches(batches)


@pytest.mark.parametrize("compression", list(storage_api.Compression))
def test_storage_api_reads_splits(
    stored: storage_api.StorageApiArrowClient, compression: storage_api.Compression
) -> None:
    request = storage_api.TableBatchScanRequest(
        required_data_columns=["t", "a"],
        required_partition_columns=["hh", "ds"],
        split_options=storage_api.SplitOptions(split_mode="Parallelism", split_number=3),
    )
    session = stored.create_read_session(request)
    assert (session.split_count, session.record_count) == (3, 10)
    assert [one.name for one in session.data_schema.data_columns] == ["t", "a"]
    splits = [
        rows_of(stored, session.session_id, split_index=i, max_batch_rows=2, compression=compression)
        for i in range(3)
    ]
    table = pa.concat_tables(splits)
    assert table.schema.names == ["t", "a", "hh", "ds"]
    assert table["a"].to_pylist() == [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]
    assert table["hh"].to_pylist() == [1] * 5 + [2] * 5
    assert table["t"].type == pa.timestamp("ns", "UTC")
    assert table["t"][0].value % 10**9 == 123456789
    with pytest.raises(errors.InvalidArgument, match="no split 3"):
        rows_of(stored, session.session_id, split_index=3)


def test_storage_api_reads_a_snapshot(odps_client: ODPS, stored: storage_api.StorageApiArrowClient) -> None:
    request = storage_api.TableBatchScanRequest(
        required_partitions=["ds=d/hh=2"],
        split_options=storage_api.SplitOptions.get_default_options(
            storage_api.SplitOptions.SplitMode.ROW_OFFSET
        ),
        arrow_options=storage_api.ArrowOptions(timestamp_unit="milli"),
    )
    session = stored.create_read_session(request)
    assert (session.split_count, session.record_count) == (-1, 5)
    odps_client.execute_sql(f"TRUNCATE TABLE {stored.table.name} PARTITION (ds='d', hh=2)")
    part = rows_of(stored, session.session_id, row_index=1, row_count=2)
    assert part.schema.names == ["a", "b", "t"]
    assert part["a"].to_pylist() == [21, 22]
    assert part["t"].type == pa.timestamp("ms", "UTC")
    again = stored.get_read_session(storage_api.SessionRequest(session.session_id))
    assert again.record_count == 5
    assert stored.create_read_session(request).record_count == 0


def test_storage_api_writes_what_is_committed(stored: storage_api.StorageApiArrowClient) -> None:
    def write(session: str, block: int, attempt: int, number: int) -> str:
        writer = stored.write_rows_arrow(
            storage_api.WriteRowsRequest(session, block_number=block, attempt_number=attempt)
        )
        writer.write(
            pa.RecordBatch.from_arrays(
                [pa.array([number]), pa.array(["é"]), pa.array([None], pa.timestamp("ns", "UTC"))],
                names=["a", "b", "t"],
            )
        )
        message, done = writer.finish()
        assert done
        return message

    def numbers(spec: str) -> list[object]:
        with stored.table.open_reader(spec, reopen=True) as reader:
            return [record["a"] for record in reader]

    for overwrite, expected in ((False, [10, 11, 12, 13, 14, 5, 6]), (True, [5, 6])):
        request = storage_api.TableBatchWriteRequest(partition_spec="ds=d/hh=1", overwrite=overwrite)
        session = stored.create_write_session(request).session_id
        messages = [write(session, 1, 0, 6), write(session, 0, 1, 5)]
        write(session, 0, 0, 99)  # an attempt that nobody names, though it came later
        for _ in range(2):  # as after an answer that was lost
            done = stored.commit_write_session(storage_api.SessionRequest(session), messages)
            assert done.session_status == storage_api.SessionStatus.COMMITTED
        assert numbers("ds=d,hh=1") == expected
    with pytest.raises(errors.ODPSError, match="is closed"):
        write(session, 2, 0, 7)
    made = storage_api.TableBatchWriteRequest(partition_spec="ds=d/hh=3")
    session = stored.create_write_session(made).session_id
    assert not stored.table.exist_partition("ds=d,hh=3")
    stored.commit_write_session(storage_api.SessionRequest(session), [write(session, 0, 0, 1)])
    assert numbers("ds=d,hh=3") == [1]
    other = stored.create_write_session(made).session_id
    with pytest.raises(errors.ODPSError, match="not all of these blocks"):
        stored.commit_write_session(storage_api.SessionRequest(other), ["7:0"])


def test_interactive_queries_fall_back(odps_client: ODPS) -> None:
    with odps_client.execute_sql_interactive("SELECT 1 AS a").open_reader() as reader:
        assert values(reader) == [[1]]
    for mode in (True, "v1"):
        cursor = dbapi.connect(odps_client, use_sqa=mode, fallback_policy="all").cursor()
        cursor.execute("SELECT 2 AS a")
        assert [list(row) for row in cursor] == [[2]]


def test_queueing_info_of_an_instance(odps_client: ODPS) -> None:
    info = odps_client.execute_sql("SELECT 1").get_queueing_info()
    assert (info.project, info.sub_status_history) == (odps_client.project, [])
