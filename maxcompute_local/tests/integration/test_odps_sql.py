"""MaxCompute SQL of the local cloud, without a server: statements in, rows or errors out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from maxcompute_local.odps.catalog import Catalog
from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import OdpsError
from maxcompute_local.odps.sql import engine as engine_module
from maxcompute_local.odps.sql.engine import Cancellation, Engine
from maxcompute_local.odps.sql.script import split_statements
from maxcompute_local.odps.storage import Storage, collect_garbage
from maxcompute_local.stats import Stats

Rows = list[tuple[Any, ...]]


class Sql:
    """An engine on an empty catalog."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root / "catalog.sqlite")
        self.catalog = Catalog(self.database, ["p", "other"])
        self.storage = Storage(root / "data")
        self.engine = Engine(self.catalog, self.storage, root / "scratch", Stats())
        self._results = root / "result.parquet"

    def __call__(self, script: str, **settings: str) -> Rows:
        dotted = {name.replace("_", "."): value for name, value in settings.items()}
        result = self.engine.execute(script, "p", dotted, self._results, Cancellation())
        if result.rows is None:
            return [(line,) for line in result.text.split("\n") if line]
        rows: Rows = []
        for batch in result.rows.read():
            rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        return rows

    def types(self, query: str, **settings: str) -> list[tuple[str, str]]:
        dotted = {name.replace("_", "."): value for name, value in settings.items()}
        result = self.engine.execute(query, "p", dotted, self._results, Cancellation())
        assert result.rows is not None
        return [(c.name, c.type) for c in result.rows.columns]

    def files(self) -> int:
        return len(self.storage.files())


@pytest.fixture
def sql(tmp_path: Path) -> Sql:
    return Sql(tmp_path)


@pytest.fixture
def rows(sql: Sql) -> Callable[[str], Rows]:
    sql("CREATE TABLE t (a STRING, n BIGINT) PARTITIONED BY (ds STRING)")
    sql("INSERT INTO t PARTITION (ds='1') VALUES ('x', 1), ('y', 2), (NULL, 3)")
    sql("INSERT INTO t PARTITION (ds='2') VALUES ('x', 4)")
    sql("CREATE TABLE s AS SELECT 'x' AS a, 10 AS m UNION ALL SELECT 'z', 20")
    return sql


# Expressions


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'it\\'s'", "it's"),
        ('"double \\" quoted"', 'double " quoted'),
        ("'back\\\\slash'", "back\\slash"),
        ("'line\\nbreak\\ttab'", "line\nbreak\ttab"),
        ("'中文 😀'", "中文 😀"),
        ("'semi;colon -- no comment /* none */'", "semi;colon -- no comment /* none */"),
        ("'a' 'b'", "ab"),
        ("'a{x}$1%s@v'", "a{x}$1%s@v"),
        ("CONCAT('a', 1, 'b')", "a1b"),
        ("CONCAT('a', NULL)", None),
        ("'a' || NULL", None),
        ("CONCAT_WS('-', 'a', 'b')", "a-b"),
        ("SUBSTR('abcdef', 2, 3)", "bcd"),
        ("SUBSTR('abcdef', 1, 16)", "abcdef"),
        ("SUBSTR('abcdef', -2)", "ef"),
        ("SUBSTR('abcdef', 0, 2)", ""),
        ("SUBSTR('abc', 2, -1)", ""),
        ("MD5('a')", "0cc175b9c0f1b6a831c399e269772661"),
        ("SHA2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("NVL(NULL, 'b')", "b"),
        ("COALESCE(NULL, NULL, 'c')", "c"),
        ("IF(1 > 2, 'yes', 'no')", "no"),
        ("CASE WHEN NULL THEN 'a' ELSE 'b' END", "b"),
        ("UPPER('a')", "A"),
        ("TRIM('  a ')", "a"),
        ("LENGTH('中文')", 2),
        ("LENGTHB('中文')", 6),
        ("INSTR('abc', 'c')", 3),
        ("SPLIT_PART('a,b', ',', 2)", "b"),
        ("REGEXP_REPLACE('aaa', 'a', 'b')", "bbb"),
        ("REGEXP_EXTRACT('x12', 'x(\\\\d+)', 1)", "12"),
        ("'abc' RLIKE '^a'", True),
        ("'abc' LIKE 'a%'", True),
        ("'a%c' LIKE 'a\\\\%c'", True),
        ('GET_JSON_OBJECT(\'{"a": {"b": [1, "x"]}}\', \'$.a.b[1]\')', "x"),
        ("GET_JSON_OBJECT('no json', '$.a')", None),
        ("GET_JSON_OBJECT('{\"a\": null}', '$.a')", None),
        ("1 / 2", 0.5),
        ("1 / 0", None),
        ("7 DIV 2", 3),
        ("7 % 2", 1),
        ("2000000000 * 3", 6000000000),
        ("1.5", 1.5),
        ("0.1 + 0.2", 0.1 + 0.2),
        ("CAST('12' AS BIGINT)", 12),
        ("CAST(1.9 AS BIGINT)", 1),
        ("CAST(-1.9 AS BIGINT)", -1),
        ("CAST('2.7' AS BIGINT)", 2),
        ("CAST(9223372036854775807 AS BIGINT)", 9223372036854775807),
        ("CAST(1 AS STRING)", "1"),
        ("CAST(1.0 AS STRING)", "1.0"),
        ("CAST(true AS STRING)", "true"),
        ("CAST(CAST('2026-11-20 01:02:03' AS DATETIME) AS STRING)", "2026-11-20 01:02:03"),
        ("CAST(CAST('2026-11-20' AS DATE) AS STRING)", "2026-11-20"),
        ("CAST('abc' AS VARCHAR(2))", "ab"),
        ("CEIL(1.2)", 2),
        ("FLOOR(-1.2)", -2),
        ("TO_CHAR(CAST('2026-11-20 01:02:03' AS DATETIME), 'yyyymmddhhmiss')", "20261120010203"),
        ("CAST(TO_DATE('20261120', 'yyyymmdd') AS STRING)", "2026-11-20 00:00:00"),
        ("DATEDIFF('2026-11-22 00:00:00', '2026-11-20 23:00:00', 'dd')", 2),
        ("CAST(DATEADD('2026-01-31 00:00:00', 1, 'mm') AS STRING)", "2026-02-28 00:00:00"),
        ("YEAR('2026-11-20 00:00:00')", 2026),
        ("ARRAY('a', 'b')[0]", "a"),
        ("MAP('k', 1)['k']", 1),
        ("SIZE(ARRAY(1, 2))", 2),
        ("NULL IS NULL", True),
        ("NULL <=> NULL", True),
        ("1 IN (1, 2)", True),
        ("2 NOT IN (1, 2)", False),
        ("1 BETWEEN 1 AND 2", True),
    ],
)
def test_expressions(sql: Sql, expression: str, expected: object) -> None:
    assert sql(f"SELECT {expression} AS value") == [(expected,)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 1 AS a, 'x', 1.5, true, COUNT(*)", ["bigint", "string", "double", "boolean", "bigint"]),
        ("SELECT SUM(1), AVG(1), MAX(1), SUM(1.5)", ["bigint", "double", "bigint", "double"]),
        ("SELECT CAST(1 AS DECIMAL(10,2)), GETDATE()", ["decimal(10,2)", "datetime"]),
        ("SELECT CAST('2026-01-01 00:00:00' AS TIMESTAMP)", ["timestamp"]),
        ("SELECT ARRAY('a'), MAP('k', 'v'), NAMED_STRUCT('f', 'v')", None),
        ("SELECT NULL", ["string"]),
    ],
)
def test_result_types(sql: Sql, query: str, expected: list[str] | None) -> None:
    nested = ["array<string>", "map<string,string>", "struct<f:string>"]
    assert [kind for _, kind in sql.types(query)] == (expected or nested)


def test_small_integers_exist_only_with_odps2(sql: Sql) -> None:
    settings = {"odps_sql_type_system_odps2": "true"}
    assert sql.types("SELECT 1 AS a", **settings) == [("a", "int")]
    assert sql.types("SELECT 1 AS a") == [("a", "bigint")]


def test_names_of_columns_without_one(sql: Sql) -> None:
    names = [name for name, _ in sql.types("SELECT 1, a, A, t.a + 1 FROM (SELECT 1 AS a) t")]
    assert names == ["_c0", "a", "a_1", "_c3"]


def test_time_zone(sql: Sql) -> None:
    query = "SELECT CAST(FROM_UNIXTIME(0) AS STRING)"
    assert sql(query, odps_sql_timezone="Asia/Shanghai") == [("1970-01-01 08:00:00",)]
    assert sql(f"SET odps.sql.timezone=UTC; {query}") == [("1970-01-01 00:00:00",)]


def test_casts_that_fail(sql: Sql) -> None:
    with pytest.raises(OdpsError) as caught:
        sql("SELECT CAST('abc' AS BIGINT)")
    assert caught.value.odps_code == "ODPS-0123091"
    assert sql("SET odps.sql.udf.strict.mode=false; SELECT CAST('abc' AS BIGINT)") == [(None,)]
    with pytest.raises(OdpsError):
        sql("SELECT CONCAT(ARRAY('a'), 'b')")


# Queries


def test_joins(rows: Sql) -> None:
    assert rows("SELECT t.a, n, m FROM t LEFT JOIN s ON t.a = s.a WHERE ds = '1' ORDER BY n") == [
        ("x", 1, 10),
        ("y", 2, None),
        (None, 3, None),
    ]
    assert rows("SELECT n FROM t LEFT ANTI JOIN s ON t.a = s.a ORDER BY n") == [(2,), (3,)]
    assert rows("SELECT n FROM t LEFT SEMI JOIN s ON t.a = s.a ORDER BY n") == [(1,), (4,)]
    assert rows("SELECT s.a FROM t RIGHT JOIN s ON t.a = s.a AND ds = '2' ORDER BY s.a") == [("x",), ("z",)]


def test_grouping_and_windows(rows: Sql) -> None:
    assert rows(
        "SELECT a, COUNT(*), COUNT(DISTINCT ds), SUM(CASE WHEN n > 1 THEN 1 ELSE 0 END) "
        "FROM t GROUP BY a ORDER BY a"
    ) == [(None, 1, 1, 1), ("x", 2, 2, 1), ("y", 1, 1, 1)]
    assert rows(
        "SELECT a, n, ROW_NUMBER() OVER (PARTITION BY a ORDER BY n DESC) AS nth FROM t ORDER BY n LIMIT 2"
    ) == [("x", 1, 2), ("y", 2, 1)]
    assert rows("SELECT COUNT(DISTINCT a, ds) FROM t") == [(3,)]
    assert rows("SELECT STDDEV(n), VARIANCE(n) FROM t WHERE n IN (1, 3)") == [(1.0, 1.0)]


def test_order_is_kept_for_many_rows(sql: Sql) -> None:
    digits = " UNION ALL ".join(f"SELECT {n} AS d" for n in range(10))
    sql(f"CREATE TABLE digits AS {digits}")
    query = (
        "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d AS n FROM digits a "
        "CROSS JOIN digits b CROSS JOIN digits c CROSS JOIN digits d CROSS JOIN digits e ORDER BY n DESC"
    )
    assert sql(query) == [(n,) for n in range(99999, -1, -1)]


def test_views_and_common_tables(rows: Sql) -> None:
    rows("CREATE VIEW v (letter COMMENT 'l', twice) AS SELECT a, n * 2 FROM t")
    assert rows("SELECT letter, twice FROM v WHERE twice > 5 ORDER BY twice") == [(None, 6), ("x", 8)]
    rows("CREATE OR REPLACE VIEW v AS SELECT a FROM t WHERE ds = '2'")
    assert rows("SELECT * FROM v") == [("x",)]
    # A common table may carry the name of the table that it reads.
    assert rows("WITH t AS (SELECT n FROM t WHERE n > 3) SELECT * FROM t") == [(4,)]
    assert rows(
        "WITH c AS (SELECT 1 AS a), d AS (SELECT a + 1 AS a FROM c) SELECT c.a, d.a FROM c JOIN d"
    ) == [(1, 2)]
    with pytest.raises(OdpsError, match="is a view"):
        rows("INSERT INTO v SELECT 'q'")
    rows("DROP VIEW v")
    with pytest.raises(OdpsError, match="cannot be resolved"):
        rows("SELECT * FROM v")


def test_lateral_views(sql: Sql) -> None:
    query = "SELECT s, w FROM (SELECT 'a,b' AS s) q LATERAL VIEW EXPLODE(SPLIT(s, ',')) e AS w ORDER BY w"
    assert sql(query) == [("a,b", "a"), ("a,b", "b")]


def test_script_mode(sql: Sql) -> None:
    script = """
    -- a comment; with a semicolon
    SET odps.sql.type.system.odps2=true;
    @one := SELECT 1 AS a;  /* another; one */
    @two := SELECT a + 1 AS b FROM @one;
    CREATE TABLE made AS SELECT b FROM @two;
    SELECT b, '@two' AS text FROM made;
    """
    assert sql(script) == [(2, "@two")]


def test_statements_are_split_outside_of_literals() -> None:
    script = 'SELECT \';--\' ; SELECT "a\\";b" -- c;d\n FROM `x;y`; /* e; */'
    assert list(split_statements(script)) == ["SELECT ';--'", 'SELECT "a\\";b"  \n FROM `x;y`']


def test_max_pt(rows: Sql) -> None:
    rows("ALTER TABLE t ADD PARTITION (ds='3')")
    assert rows("SELECT n FROM t WHERE ds = MAX_PT('p.t')") == [(4,)]


def test_explain_output(rows: Sql) -> None:
    ((text,),) = rows("EXPLAIN OUTPUT SELECT a, n, 1.5 AS d FROM t")
    assert json.loads(text) == {
        "columns": [
            {"name": "a", "type": "string"},
            {"name": "n", "type": "bigint"},
            {"name": "d", "type": "double"},
        ],
        "partitionKeys": [],
    }
    assert rows("EXPLAIN OUTPUT INSERT INTO s SELECT 'a', 1") == [("nothing to explain",)]


# Writing


def test_overwriting_the_partition_that_is_read(rows: Sql) -> None:
    rows("CREATE TABLE staging LIFECYCLE 1 AS SELECT 'new' AS a, 9 AS n")
    rows(
        "INSERT OVERWRITE TABLE t PARTITION (ds='1') SELECT a, n FROM t WHERE ds='1' AND n > 1 "
        "UNION ALL SELECT a, n FROM staging"
    )
    assert rows("SELECT a, n FROM t WHERE ds='1' ORDER BY n") == [("y", 2), (None, 3), ("new", 9)]
    assert rows("SELECT n FROM t WHERE ds='2'") == [(4,)]
    table = rows.catalog.table("p", "default", "staging")
    assert table.definition.lifecycle == 1


def test_a_window_counts_one_partition_where_one_is_asked_for(sql: Sql) -> None:
    sql("CREATE TABLE days (x BIGINT) PARTITIONED BY (ds STRING)")
    for day in ("1", "2"):
        sql(f"INSERT INTO days PARTITION (ds='{day}') VALUES (7), (7), (8)")
    counted = sql("SELECT x, COUNT(x) OVER (PARTITION BY x) FROM days WHERE ds = '1' ORDER BY x")
    assert counted == [(7, 2), (7, 2), (8, 1)]


def test_overwriting_with_nothing_empties_the_partition(rows: Sql) -> None:
    rows("INSERT OVERWRITE TABLE t PARTITION (ds='1') SELECT a, n FROM t WHERE false")
    assert rows("SELECT COUNT(*) FROM t WHERE ds='1'") == [(0,)]
    assert rows("SHOW PARTITIONS t") == [("ds=1",), ("ds=2",)]


def test_dynamic_partitions(rows: Sql) -> None:
    rows("INSERT OVERWRITE TABLE t PARTITION (ds) SELECT 'd', 7, '2' UNION ALL SELECT 'd', 8, '上海/50%'")
    assert rows("SELECT n, ds FROM t ORDER BY n") == [(1, "1"), (2, "1"), (3, "1"), (7, "2"), (8, "上海/50%")]
    assert rows("SELECT n FROM t WHERE ds = '上海/50%'") == [(8,)]
    with pytest.raises(OdpsError, match="NULL"):
        rows("INSERT INTO t PARTITION (ds) SELECT 'd', 7, NULL")
    rows("CREATE TABLE two (n BIGINT) PARTITIONED BY (ds STRING, hh BIGINT)")
    rows("INSERT INTO two PARTITION (ds='1', hh) SELECT 5, 13 UNION ALL SELECT 6, 14")
    assert rows("SELECT n, ds, hh FROM two WHERE hh = 14") == [(6, "1", 14)]
    assert rows("SHOW PARTITIONS two") == [("ds=1/hh=13",), ("ds=1/hh=14",)]


def test_insert_forms(sql: Sql) -> None:
    sql("CREATE TABLE t (a STRING, n BIGINT, d DOUBLE)")
    sql("INSERT INTO TABLE t (n, a) VALUES (1, 'x')")
    sql("INSERT INTO t SELECT 2, 2.9, '3.5'")
    sql("WITH c AS (SELECT 'w' AS a) INSERT INTO TABLE t SELECT a, NULL, 1 FROM c")
    assert sql("SELECT * FROM t ORDER BY a") == [("2", 2, 3.5), ("w", None, 1.0), ("x", 1, None)]
    with pytest.raises(OdpsError, match="wrong columns count 2"):
        sql("INSERT INTO t SELECT 'a', 1")
    with pytest.raises(OdpsError, match="no_such"):
        sql("INSERT INTO t (no_such) VALUES (1)")


def test_not_null(sql: Sql) -> None:
    sql("CREATE TABLE t (a STRING NOT NULL)")
    with pytest.raises(OdpsError, match="must not be NULL"):
        sql("INSERT INTO t SELECT NULL")
    assert sql("SELECT * FROM t") == []
    assert sql.files() == 0


def test_a_statement_that_fails_changes_nothing(rows: Sql) -> None:
    before = rows.files()
    with pytest.raises(OdpsError):
        rows("INSERT OVERWRITE TABLE t PARTITION (ds='1') SELECT a, CAST(CONCAT(a, '!') AS BIGINT) FROM s")
    with pytest.raises(OdpsError):
        rows("CREATE TABLE broken AS SELECT CAST(a AS BIGINT) AS n FROM s")
    assert rows("SELECT COUNT(*) FROM t WHERE ds='1'") == [(3,)]
    assert rows.catalog.find_table("p", "default", "broken") is None
    assert rows.files() == before


def test_create_as_when_it_exists(rows: Sql) -> None:
    before = rows.files()
    rows("CREATE TABLE IF NOT EXISTS s AS SELECT 1 AS q")
    assert rows("SELECT COUNT(*) FROM s") == [(2,)]
    with pytest.raises(OdpsError, match="already exists"):
        rows("CREATE TABLE s AS SELECT 1 AS q")
    assert rows.files() == before


def test_a_cancelled_statement_publishes_nothing(rows: Sql, tmp_path: Path) -> None:
    cancellation = Cancellation()
    rows("CREATE TABLE big AS SELECT a.n AS n FROM t a CROSS JOIN t b CROSS JOIN t c CROSS JOIN t d")
    query = "INSERT INTO s SELECT 'q', a.n FROM big a, big b, big c, big d, big e"
    timer = threading.Timer(0.2, cancellation.cancel)
    timer.start()
    with pytest.raises(OdpsError, match="cancelled"):
        rows.engine.execute(query, "p", {}, tmp_path / "r", cancellation)
    assert rows("SELECT COUNT(*) FROM s") == [(2,)]


def test_old_files_are_removed_after_a_while(rows: Sql) -> None:
    before = rows.files()
    rows("INSERT OVERWRITE TABLE t PARTITION (ds='1') SELECT 'q', 1")
    rows("DROP TABLE s")
    assert rows.files() == before + 1
    assert collect_garbage(rows.catalog, rows.storage, 600) == 0
    assert collect_garbage(rows.catalog, rows.storage, 0) > 0
    assert rows.files() == len(rows.catalog.live_files()) == 2
    assert rows("SELECT n FROM t ORDER BY n") == [(1,), (4,)]


# DDL


def test_create_table_as_the_provider_writes_it(sql: Sql) -> None:
    ddl = (
        "CREATE TABLE IF NOT EXISTS `p`.`frames` (`a` STRING COMMENT 'it\\'s \\\\ a; path', `n` BIGINT, "
        "`m` MAP<STRING,ARRAY<BIGINT>> COMMENT '中', d DECIMAL(10,2) NOT NULL) COMMENT 'frames' "
        "PARTITIONED BY (`ds` STRING COMMENT 'day') LIFECYCLE 1"
    )
    sql(ddl)
    sql(ddl)
    table = sql.catalog.table("p", "default", "FRAMES")
    assert [(c.name, c.type, c.comment, c.nullable) for c in table.columns] == [
        ("a", "string", "it's \\ a; path", True),
        ("n", "bigint", "", True),
        ("m", "map<string,array<bigint>>", "中", True),
        ("d", "decimal(10,2)", "", False),
    ]
    assert [(c.name, c.comment) for c in table.partition_columns] == [("ds", "day")]
    assert (table.definition.comment, table.definition.lifecycle) == ("frames", 1)
    with pytest.raises(OdpsError, match="already exists"):
        sql(ddl.replace("IF NOT EXISTS ", ""))


def test_partitions(rows: Sql) -> None:
    rows("ALTER TABLE t ADD IF NOT EXISTS PARTITION (ds='1') PARTITION (ds='3')")
    with pytest.raises(OdpsError, match="already exists"):
        rows("ALTER TABLE t ADD PARTITION (ds='3')")
    rows("ALTER TABLE t PARTITION (ds='1') RENAME TO PARTITION (ds='one')")
    assert rows("SELECT n, ds FROM t ORDER BY n LIMIT 1") == [(1, "one")]
    with pytest.raises(OdpsError, match="does not exist"):
        rows("ALTER TABLE t DROP PARTITION (ds='one'), PARTITION (ds='nope')")
    assert rows("SELECT COUNT(*) FROM t WHERE ds='one'") == [(3,)]
    rows("ALTER TABLE t DROP IF EXISTS PARTITION (ds='one'), PARTITION (ds='nope')")
    rows("TRUNCATE TABLE t PARTITION (ds='2')")
    assert rows("SHOW PARTITIONS t") == [("ds=2",), ("ds=3",)]
    assert rows("SELECT COUNT(*) FROM t") == [(0,)]
    with pytest.raises(OdpsError, match="expected columns"):
        rows("ALTER TABLE t ADD PARTITION (day='1')")


def test_columns(rows: Sql) -> None:
    rows("ALTER TABLE t ADD COLUMNS (extra STRING COMMENT 'e')")
    assert rows("SELECT extra, n FROM t WHERE ds='2'") == [(None, 4)]
    rows("INSERT INTO t PARTITION (ds='2') SELECT 'k', 5, 'v'")
    rows("ALTER TABLE t CHANGE COLUMN n RENAME TO number")
    rows("ALTER TABLE t DROP COLUMNS a")
    rows("ALTER TABLE t ADD COLUMNS (a STRING)")
    # The new column is not the old one of the same name.
    assert rows("SELECT number, extra, a FROM t WHERE ds='2' ORDER BY number") == [
        (4, None, None),
        (5, "v", None),
    ]
    with pytest.raises(OdpsError, match="changing the type"):
        rows("ALTER TABLE t CHANGE COLUMN number number STRING")


def test_other_alterations(rows: Sql) -> None:
    rows("ALTER TABLE t RENAME TO renamed")
    assert rows("SELECT COUNT(*) FROM renamed") == [(4,)]
    rows("ALTER TABLE renamed SET COMMENT 'c'")
    rows("ALTER TABLE renamed SET LIFECYCLE 7")
    rows("ALTER TABLE renamed SET TBLPROPERTIES ('k'='v')")
    definition = rows.catalog.table("p", "default", "renamed").definition
    assert (definition.comment, definition.lifecycle, dict(definition.properties)) == ("c", 7, {"k": "v"})
    rows("CREATE TABLE other.like_it LIKE renamed")
    assert rows("SELECT * FROM other.like_it") == []
    rows("DROP TABLE IF EXISTS nothing")
    with pytest.raises(OdpsError) as caught:
        rows("DROP TABLE nothing")
    assert caught.value.odps_code == "ODPS-0130131"


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE t SET n = 1", "UPDATE"),
        ("DELETE FROM t", "DELETE"),
        ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "MERGE"),
        ("GRANT SELECT ON t TO u", "GRANT"),
        ("ADD JAR x.jar", "ADD"),
        ("CREATE FUNCTION f AS 'x'", "FUNCTION"),
        ("CREATE EXTERNAL TABLE e (a STRING) LOCATION 'oss://x'", "EXTERNAL"),
        ("CREATE TABLE e (a STRING) CLUSTERED BY (a) INTO 4 BUCKETS", "CLUSTERED"),
        ("CREATE TABLE e (a STRING PRIMARY KEY)", "PRIMARY"),
        ("CREATE TABLE e (a STRING) TBLPROPERTIES ('transactional'='true')", "transactional"),
        ("ALTER TABLE t MERGE PARTITION (ds='1') OVERWRITE PARTITION (ds='2')", "MERGE"),
        ("SHOW FUNCTIONS", "FUNCTIONS"),
        ("SELECT * FROM t TABLESAMPLE (10 PERCENT)", "TABLESAMPLE"),
        ("SELECT TRANSFORM (a) USING 'cat' FROM t", "TRANSFORM"),
        ("SELECT 'unclosed", "token"),
        ("SELECT a FROM t; x", "X"),
    ],
)
def test_what_is_not_supported_is_named(rows: Sql, statement: str, named: str) -> None:
    with pytest.raises(OdpsError, match=f"(?i){named}") as caught:
        rows(statement)
    assert caught.value.odps_code in ("ODPS-0130161", "ODPS-0130071")
    assert rows("SELECT COUNT(*) FROM t") == [(4,)]


@pytest.mark.parametrize(
    "call",
    [
        "SOUNDEX(a)",
        "READ_TEXT('x')",
        "GETENV('HOME')",
        "CLUSTER_SAMPLE(n)",
        "GET_JSON_OBJECT(a, a)",
        "HISTOGRAM(n)",
    ],
)
def test_functions_that_would_mean_something_else_are_refused(rows: Sql, call: str) -> None:
    with pytest.raises(OdpsError, match="local cloud"):
        rows(f"SELECT {call} FROM t")


@pytest.mark.parametrize("table", ["READ_CSV('x')", "'x.csv'", "`x.parquet`", "GLOB('*')"])
def test_files_are_no_tables(sql: Sql, table: str) -> None:
    with pytest.raises(OdpsError):
        sql(f"SELECT * FROM {table}")


WRITER = """
import sys
from pathlib import Path
from tests.integration.test_odps_sql import Sql

sql = Sql(Path(sys.argv[1]))
sql("CREATE TABLE IF NOT EXISTS t (n BIGINT) PARTITIONED BY (ds STRING)")
n = 0
while True:
    n += 1
    sql(f"INSERT OVERWRITE TABLE t PARTITION (ds) SELECT {n}, 'a' UNION ALL SELECT {n}, 'b'")
    print(n, flush=True)
"""


def test_a_killed_writer_leaves_no_half_state(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],  # where `tests` are these
    )
    assert writer.stdout is not None
    last = [int(writer.stdout.readline()) for _ in range(5)][-1]
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    sql = Sql(tmp_path)
    first, second = sql("SELECT ds, n FROM t ORDER BY ds")
    assert (first[0], second[0]) == ("a", "b")
    assert first[1] == second[1] >= last
    # Both partitions are still written to and read as usual.
    sql("INSERT INTO t PARTITION (ds='a') SELECT 0")
    assert len(sql("SELECT * FROM t")) == 3


def test_a_query_is_stopped_at_whatever_moment_that_is_asked(sql: Sql) -> None:
    sql("CREATE TABLE t (n BIGINT); INSERT INTO TABLE t SELECT 1")
    for _ in range(14):
        sql("INSERT INTO TABLE t SELECT n FROM t")
    endless = "SELECT COUNT(*) FROM t a JOIN t b ON a.n <= b.n JOIN t c ON b.n <= c.n"
    for moment in range(40):
        cancellation = Cancellation()
        threading.Timer(moment / 2000, cancellation.cancel).start()
        with pytest.raises(OdpsError, match="cancelled"):
            sql.engine.execute(endless, "p", {}, sql._results, cancellation)


# Very wide rows

ROW_BYTES = 8 << 20


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sql]:
    """Tables of 70 rows with 8 MB each, in an engine with less memory than that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "_MEMORY_LIMIT", "450MB")
        sql = Sql(tmp_path_factory.mktemp("frames"))
        _fill(sql)
        yield sql


def _fill(sql: Sql) -> None:
    for name in ("noisy", "blank", "kept"):
        sql(f"CREATE TABLE {name} (id BIGINT, frame BINARY)", odps_sql_type_system_odps2="true")
    noise = os.urandom(ROW_BYTES)
    for name, content in (("noisy", noise), ("blank", bytes(ROW_BYTES))):
        batches = (
            pa.RecordBatch.from_pydict({"id": [i], "frame": [i.to_bytes(8, "big") + content[8:]]})
            for i in range(70)
        )
        table = sql.catalog.table("p", "default", name)
        file = sql.storage.write(table, (), batches)
        sql.catalog.publish(table, {(): [file]}, overwrite=True)


@pytest.mark.parametrize("source", ["noisy", "blank"])
def test_rows_that_do_not_fit_into_memory_together(frames: Sql, source: str) -> None:
    frames(f"INSERT OVERWRITE TABLE kept SELECT * FROM {source} WHERE id % 4 <> 1")
    expected = [(i, ROW_BYTES) for i in range(70) if i % 4 != 1]
    kept = frames("SELECT id, frame FROM kept")
    assert [(i, len(frame)) for i, frame in kept] == expected
    assert all(frame[:8] == i.to_bytes(8, "big") for i, frame in kept)


def test_what_needs_more_memory_than_there_is_says_so(frames: Sql) -> None:
    with pytest.raises(OdpsError, match="needs more than the 450MB of memory") as caught:
        frames("INSERT OVERWRITE TABLE kept SELECT * FROM noisy ORDER BY id DESC")
    assert caught.value.odps_code == "ODPS-0010000"
    assert frames("SELECT MAX(id), COUNT(*) FROM noisy") == [(69, 70)]


def test_inserts_behind_one_from_are_published_together(sql: Sql) -> None:
    sql("CREATE TABLE a (n BIGINT); CREATE TABLE b (n BIGINT NOT NULL)")
    sql("INSERT INTO a SELECT 7")
    before = sql.files()
    with pytest.raises(OdpsError, match="must not be NULL"):
        sql("FROM a INSERT OVERWRITE TABLE a SELECT n + 1 INSERT INTO TABLE b SELECT NULL")
    assert sql("SELECT * FROM a") == [(7,)]
    assert sql.files() == before
    sql("FROM a INSERT OVERWRITE TABLE a SELECT n + 1 INSERT INTO TABLE b SELECT n")
    assert (sql("SELECT * FROM a"), sql("SELECT * FROM b")) == ([(8,)], [(7,)])


def test_ddl_that_is_shown_makes_the_same_table(sql: Sql) -> None:
    sql(
        "CREATE TABLE t (a ARRAY<STRUCT<x:BIGINT,y:STRING>> COMMENT 'it\\'s \\\\ \"1\"', c CHAR(3) NOT NULL) "
        "COMMENT 'two\\nlines; -- 1' PARTITIONED BY (ds STRING) TBLPROPERTIES ('k'='v') LIFECYCLE 3"
    )
    first = sql.catalog.table("p", "default", "t")
    shown = "\n".join(line for (line,) in sql("SHOW CREATE TABLE t"))
    sql("DROP TABLE t")
    sql(shown)
    again = sql.catalog.table("p", "default", "t")
    assert again.definition == first.definition


def test_desc_of_a_partition(sql: Sql) -> None:
    sql("CREATE TABLE t (n BIGINT) PARTITIONED BY (ds STRING)")
    sql("INSERT INTO t PARTITION (ds='1') VALUES (1)")
    (partition,) = sql.catalog.partitions(sql.catalog.table("p", "default", "t"))
    lines = [line for (line,) in sql("DESC t PARTITION (ds='1')")]
    assert f"| PartitionSize: {partition.size} |" in lines
    assert [line.split(":")[0] for line in lines[2:-1]] == [
        "| CreateTime",
        "| LastDDLTime",
        "| LastModifiedTime",
    ]
    with pytest.raises(OdpsError, match="does not exist"):
        sql("DESC t PARTITION (ds='2')")


def test_touch_changes_the_times_of_one_partition(sql: Sql) -> None:
    sql("CREATE TABLE t (n BIGINT) PARTITIONED BY (ds STRING)")
    sql("ALTER TABLE t ADD PARTITION (ds='1') PARTITION (ds='2')")
    table = sql.catalog.table("p", "default", "t")
    before = sql.catalog.partitions(table)
    sql("ALTER TABLE t TOUCH PARTITION (ds='2')")
    after = sql.catalog.partitions(table)
    assert after[0] == before[0]
    assert after[1].ddl_time > before[1].ddl_time
    assert after[1].modified > before[1].modified
    with pytest.raises(OdpsError, match="does not exist"):
        sql("ALTER TABLE t TOUCH PARTITION (ds='3')")
