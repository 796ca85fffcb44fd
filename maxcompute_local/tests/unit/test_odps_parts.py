"""The parts of the local MaxCompute that need no server: catalog, codecs, tokens, scripts, cursor."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from odps.tunnel.io.reader import ArrowStreamReader, TunnelRecordReader
from odps.tunnel.io.types import odps_schema_to_arrow_schema

from maxcompute_local.odps import codec
from maxcompute_local.odps.auth import ACCESS_PURPOSE, Tokens
from maxcompute_local.odps.catalog import Catalog, Column, DataFile, Table, TableDefinition
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.odps.logview import logview_purpose, purpose_of_policy
from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.tokens import Cursor
from maxcompute_local.odps.storage import Storage, cast_batch
from maxcompute_local.odps.types import storage_schema, type_name


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Database(tmp_path / "catalog.sqlite"), ["p"])


@pytest.fixture
def table(catalog: Catalog) -> Table:
    definition = TableDefinition((Column("n", "bigint"),), (Column("a", "string"), Column("b", "string")))
    table = catalog.new_table("p", "default", "T", definition)
    catalog.create_table(table)
    return table


def file(path: str, rows: int = 1) -> DataFile:
    return DataFile(path, rows, 10, ("c0",))


# Catalog


def test_a_publication_is_all_or_nothing(catalog: Catalog, table: Table) -> None:
    catalog.publish(table, {("1", "x"): [file("one")]}, overwrite=False)
    with pytest.raises(OdpsError, match="1 to 255 bytes"):
        catalog.publish(table, {("1", "x"): [file("two")], ("1", ""): [file("three")]}, overwrite=True)
    with pytest.raises(OdpsError) as caught:
        catalog.publish(
            table, {("1", "x"): [file("two")], ("2", "y"): []}, overwrite=True, create_partitions=False
        )
    assert caught.value.code == "NoSuchPartition"
    assert [(p.spec, [f.path for f in p.files]) for p in catalog.partitions(table)] == [("a=1/b=x", ["one"])]
    assert catalog.garbage(1e12) == []


def test_replaced_and_empty_files_become_garbage(catalog: Catalog, table: Table) -> None:
    catalog.publish(table, {("1", "x"): [file("one"), file("none", rows=0)]}, overwrite=False)
    catalog.publish(table, {("1", "x"): [file("two")]}, overwrite=True)
    assert catalog.partition(table, ("1", "x")).files == (file("two"),)
    assert sorted(catalog.garbage(1e12)) == ["none", "one"]
    catalog.drop_table("p", "default", "t")
    assert sorted(catalog.garbage(1e12)) == ["none", "one", "two"]
    assert catalog.live_files() == set()
    with pytest.raises(OdpsError, match="cannot be resolved"):
        catalog.publish(table, {("1", "x"): [file("late")]}, overwrite=True)


def test_values_with_signs_do_not_collide(catalog: Catalog, table: Table) -> None:
    catalog.publish(table, {("1/b=2", "3"): [file("one")]}, overwrite=False)
    catalog.publish(table, {("1", "2/b=3"): [file("two")]}, overwrite=False)
    assert [p.values for p in catalog.partitions(table)] == [("1/b=2", "3"), ("1", "2/b=3")]


def test_partition_specs(table: Table) -> None:
    assert table.partition_values("b='2',A=1") == ("1", "2")
    assert table.partition_spec(("1", "2")) == "a=1/b=2"
    for wrong in ("a=1", "a=1,b=2,c=3", "", None, "nonsense"):
        with pytest.raises(OdpsError) as caught:
            table.partition_values(wrong)
        assert caught.value.status == 400


def test_names_and_columns_are_checked(catalog: Catalog) -> None:
    for name in ("", "a/b", "../x", "a b", "x" * 200):
        with pytest.raises(OdpsError, match="not a valid name"):
            catalog.new_table("p", "default", name, TableDefinition((Column("n", "bigint"),)))
    twice = TableDefinition((Column("n", "bigint"),), (Column("n", "string"),))
    with pytest.raises(OdpsError, match="declared twice"):
        catalog.new_table("p", "default", "t", twice)
    with pytest.raises(OdpsError) as caught:
        catalog.tables("nowhere")
    assert caught.value.code == "NoSuchProject"


# Storage


def test_ranges_over_files_with_different_columns(tmp_path: Path, catalog: Catalog, table: Table) -> None:
    storage = Storage(tmp_path / "data")
    files = [
        storage.write(table, ("1", "x"), [pa.record_batch({"n": pa.array(range(start, start + 5))})])
        for start in (0, 5)
    ]
    catalog.add_columns(table, [Column("extra", "string")])
    table = catalog.table("p", "default", "t")
    later = storage.write(table, ("1", "x"), [pa.record_batch({"N": [10], "extra": ["e"]})])
    rows = [row for batch in storage.read([*files, later], table.columns, 4, 7) for row in batch.to_pylist()]
    assert rows == [{"n": n, "extra": None} for n in range(4, 10)] + [{"n": 10, "extra": "e"}]
    only_new = storage.read([*files, later], table.columns[1:], 9)
    assert [row for batch in only_new for row in batch.to_pylist()] == [{"extra": None}, {"extra": "e"}]
    assert list(storage.read(files, table.columns, 3, 0)) == []


def test_a_failed_write_leaves_no_file(tmp_path: Path, table: Table) -> None:
    storage = Storage(tmp_path / "data")
    with pytest.raises(OdpsError, match="cannot store"):
        storage.write(table, ("1", "x"), [pa.record_batch({"n": ["not a number"]})])
    assert storage.files() == set()


def test_long_values_are_refused_before_writing(tmp_path: Path, table: Table) -> None:
    with pytest.raises(OdpsError, match="too long"):
        Storage(tmp_path / "data").new_path(table, ("中" * 40, "x"))


# Types


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("STRING", "string"),
        ("decimal(10)", "decimal(10,0)"),
        ("ARRAY<MAP<STRING,BIGINT>>", "array<map<string,bigint>>"),
        ("VARCHAR(10)", "varchar(10)"),
    ],
)
def test_type_names(written: str, canonical: str) -> None:
    assert type_name(written) == canonical


@pytest.mark.parametrize("unknown", ["nonsense", "interval_day_time", "array<nonsense>"])
def test_unknown_types(unknown: str) -> None:
    with pytest.raises(OdpsError, match="type"):
        type_name(unknown)


@pytest.mark.parametrize(
    ("written", "kind", "without_odps2"),
    [
        ("DECIMAL", "decimal(38,18)", "decimal(38,18)"),
        ("STRUCT<A:INT,b:MAP<STRING,FLOAT>>", "struct<a:int,b:map<string,float>>", None),
        ("ARRAY<DECIMAL(10, 2)>", "array<decimal(10,2)>", "array<decimal(10,2)>"),
        ("tinyint", "tinyint", "bigint"),
    ],
)
def test_types_in_queries(written: str, kind: str, without_odps2: str | None) -> None:
    assert kinds.canonical(written) == kind
    assert kinds.widened(kind) == (without_odps2 or "struct<a:bigint,b:map<string,double>>")


def test_fields_that_queries_cannot_name() -> None:
    with pytest.raises(OdpsError, match="b c"):
        kinds.canonical("struct<`b c`:bigint>")


# Codecs

COLUMNS = (
    Column("s", "string"),
    Column("n", "bigint"),
    Column("d", "decimal(10,2)"),
    Column("t", "datetime"),
    Column("a", "array<datetime>"),
    Column("m", "map<string,date>"),
    Column("st", "struct<x:bigint,y:string>"),
)
MOMENT = datetime(2026, 11, 20, 1, 2, 3, 456000, tzinfo=UTC)
VALUES = [
    {
        "s": "中" * 50000,
        "n": -(2**62),
        "d": Decimal("1.50"),
        "t": MOMENT,
        "a": [MOMENT, None],
        "m": [("k", MOMENT.date())],
        "st": {"x": 1, "y": None},
    },
    dict.fromkeys(("s", "n", "d", "t", "a", "m", "st")),
] * 3


def batch() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(VALUES, schema=storage_schema(COLUMNS))


def test_records_there_and_back() -> None:
    stream = b"".join(codec.write_records([batch(), batch()], COLUMNS))
    again = list(codec.read_records(io.BytesIO(stream), COLUMNS))
    assert [row for part in again for row in part.to_pylist()] == VALUES * 2
    reader = TunnelRecordReader(codec.wire_schema(COLUMNS), lambda *_args, **_kwargs: io.BytesIO(stream))
    assert sum(1 for _ in reader) == 12


def test_arrow_there_and_back() -> None:
    stream = b"".join(codec.write_arrow([batch(), batch()], COLUMNS))
    assert len(stream) > 65536 * 2
    again = [cast_batch(part, batch().schema) for part in codec.read_arrow(io.BytesIO(stream), COLUMNS)]
    assert [row for part in again for row in part.to_pylist()] == VALUES * 2
    assert list(codec.read_arrow(io.BytesIO(b""), COLUMNS)) == []
    nothing = b"".join(codec.write_arrow([], COLUMNS))
    wire = odps_schema_to_arrow_schema(codec.wire_schema(COLUMNS))
    assert list(pa.ipc.open_stream(ArrowStreamReader(io.BytesIO(nothing), wire))) == []


def test_damaged_records_are_an_error_of_the_client() -> None:
    stream = bytearray(b"".join(codec.write_records([batch()], COLUMNS)))
    stream[10] ^= 1
    with pytest.raises(OdpsError) as caught:
        list(codec.read_records(io.BytesIO(bytes(stream)), COLUMNS))
    assert caught.value.status == 400


@pytest.mark.parametrize("encoding", ["deflate", "zstd", "x-lz4-frame"])
def test_compressed_bodies(encoding: str) -> None:
    import zlib

    plain = b"drive" * 100000
    packed = {
        "deflate": lambda: zlib.compress(plain),
        "zstd": lambda: pa.compress(plain, codec="zstd", asbytes=True),
        "x-lz4-frame": lambda: pa.compress(plain, codec="lz4", asbytes=True),
    }[encoding]()
    body = codec.decompressed(io.BytesIO(packed), encoding)
    assert body.read(7) == plain[:7]
    assert body.read() == plain[7:]
    with pytest.raises(OdpsError, match="x-snappy-framed"):
        codec.decompressed(io.BytesIO(b""), "x-snappy-framed")


# Tokens


def test_tokens(tmp_path: Path) -> None:
    tokens = Tokens(Database(tmp_path / "catalog.sqlite"))
    token = tokens.issue("maxframe:s1")
    assert tokens.purpose(token) == "maxframe:s1"
    assert Tokens(Database(tmp_path / "catalog.sqlite")).purpose(token) == "maxframe:s1"
    assert tokens.purpose("lt-guess") is None
    assert tokens.purpose(tokens.issue("short", lifetime_seconds=-1)) is None
    tokens.revoke("maxframe:s2")
    assert tokens.purpose(token) == "maxframe:s1"
    tokens.revoke("maxframe:s1")
    tokens.revoke("maxframe:s1")
    assert tokens.purpose(token) is None


def test_a_signed_policy_opens_one_page_or_everything() -> None:
    policy = {"Statement": [{"Resource": "acs:odps:*:projects/p/instances/i"}]}
    assert purpose_of_policy(policy) == logview_purpose("p", "i")
    everything = {"Action": ["odps:*"], "Resource": "acs:odps:*:*", "Effect": "Allow"}
    assert purpose_of_policy({"Statement": [everything]}) == ACCESS_PURPOSE
    for other in (
        {},
        {"Statement": [{"Resource": "acs:odps:*:projects/p"}]},
        {"Statement": [{**everything, "Action": ["odps:Read"]}]},
        {"Statement": [{**everything, "Effect": "Deny"}]},
        {"Statement": [everything, everything]},
        "text",
        None,
    ):
        with pytest.raises(OdpsError, match=r"policy|not supported by the local cloud"):
            purpose_of_policy(other)


# Cursor


def test_types_end_where_they_should() -> None:
    cursor = Cursor("a array<struct<x:decimal(10,2),y:string>> COMMENT 'c', b bigint)")
    assert cursor.name() == "a"
    assert cursor.type_text() == "array<struct<x:decimal(10,2),y:string>>"
    assert cursor.accept("COMMENT")
    assert cursor.string() == "c"
    cursor.expect(",")
    assert cursor.name() == "b"
    assert cursor.type_text() == "bigint"
    cursor.expect(")")
    cursor.expect_end()


def test_keywords_in_quotes_are_names() -> None:
    cursor = Cursor("`comment` 'table'")
    assert not cursor.accept("COMMENT")
    assert cursor.name() == "comment"
    assert not cursor.accept("TABLE")
    with pytest.raises(OdpsError, match="expected a name"):
        Cursor("(").name()
