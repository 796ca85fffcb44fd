-- recalled: INSERT INTO, INSERT OVERWRITE
CREATE TABLE w1 (a STRING, n BIGINT); INSERT INTO w1 VALUES ('x', 1), ('y', NULL); INSERT INTO TABLE w1 SELECT 'z', 3; SELECT * FROM w1 ORDER BY a;
--: string, bigint
--> 'x' | 1
--> 'y' | NULL
--> 'z' | 3

INSERT OVERWRITE TABLE w1 SELECT a, n + 1 FROM w1 WHERE n IS NOT NULL; SELECT * FROM w1 ORDER BY a;
--: string, bigint
--> 'x' | 2
--> 'z' | 4

INSERT INTO w1 (n) VALUES (9); SELECT * FROM w1 WHERE a IS NULL;
--: string, bigint
--> NULL | 9

INSERT INTO w1 (n, a) SELECT 8, 'eight'; SELECT a FROM w1 WHERE n = 8;
--: string
--> 'eight'

INSERT INTO w1 SELECT 'a';
--! ODPS-0130071 [1,1] Semantic analysis exception - wrong columns count 1 in data source, requires 2 columns (includes dynamic partitions if any)

INSERT INTO w1 SELECT 'a', 1, 2;
--! ODPS-0130071 [1,1] Semantic analysis exception - wrong columns count 3 in data source, requires 2 columns (includes dynamic partitions if any)

INSERT INTO w1 (nope) VALUES (1);
--! ODPS-0130071 [1,1] Semantic analysis exception - column nope cannot be resolved

INSERT INTO w1 (a, a) VALUES ('x', 'y');
--! ODPS-0130071 [1,1] Semantic analysis exception - column a is named twice

INSERT INTO nowhere SELECT 1;
--! ODPS-0130131 [1,1] Table not found - table p.nowhere cannot be resolved

INSERT INTO w1 VALUES (1), (2, 3);
--! ODPS-0130071 [1,1] Semantic analysis exception - VALUES has rows of different lengths

WITH c AS (SELECT 'w' AS a) INSERT INTO TABLE w1 SELECT a, 1 FROM c; SELECT n FROM w1 WHERE a = 'w';
--: bigint
--> 1

INSERT INTO w1 SELECT 1.5, 2.9; SELECT a, n FROM w1 WHERE a = '1.5';
--: string, bigint
--> '1.5' | 2

INSERT INTO w1 SELECT 'bad', 'x1';
--! ODPS-0123091 Illegal type cast - in function cast, value 'x1' cannot be casted from String to Bigint

INSERT INTO w1 SELECT ARRAY(1), 1;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column a: cannot convert ARRAY<BIGINT> to STRING

-- recalled: INSERT INTO, INSERT OVERWRITE (static partitions)
CREATE TABLE w2 (n BIGINT) PARTITIONED BY (ds STRING, hh STRING); INSERT INTO w2 PARTITION (ds='1', hh='a') VALUES (1); INSERT OVERWRITE TABLE w2 PARTITION (ds='1', hh='b') SELECT 2; SELECT * FROM w2 ORDER BY n;
--: bigint, string, string
--> 1 | '1' | 'a'
--> 2 | '1' | 'b'

INSERT OVERWRITE TABLE w2 PARTITION (ds='1', hh='a') SELECT 5; SELECT n, hh FROM w2 ORDER BY n;
--: bigint, string
--> 2 | 'b'
--> 5 | 'a'

INSERT OVERWRITE TABLE w2 PARTITION (ds='1', hh='a') SELECT 5 FROM people WHERE false; SELECT COUNT(*) FROM w2 WHERE hh = 'a';
--: bigint
--> 0

INSERT INTO w2 PARTITION (nope='1') SELECT 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - p.w2 has no partition column nope

INSERT INTO w2 PARTITION (ds='1', hh=CONCAT('a')) SELECT 1;
--! ODPS-0130161 [1,1] Parse exception - the value of partition column hh must be a literal

-- page: Insert or overwrite data into dynamic partitions
INSERT OVERWRITE TABLE w2 PARTITION (ds, hh) SELECT 7, '2', 'x' UNION ALL SELECT 8, '2', 'y'; SELECT n, ds, hh FROM w2 ORDER BY n;
--: bigint, string, string
--> 2 | '1' | 'b'
--> 7 | '2' | 'x'
--> 8 | '2' | 'y'

INSERT INTO w2 PARTITION (ds='3', hh) SELECT 9, 'z'; SHOW PARTITIONS w2;
--> ds=1/hh=a
--> ds=1/hh=b
--> ds=2/hh=x
--> ds=2/hh=y
--> ds=3/hh=z

INSERT INTO w2 PARTITION (ds='3', hh) SELECT 9, NULL;
--! ODPS-0123031 Partition exception - a dynamic partition value must not be NULL or empty

INSERT INTO w2 PARTITION (ds='3', hh) SELECT 9, '';
--! ODPS-0123031 Partition exception - a dynamic partition value must not be NULL or empty

INSERT INTO w2 PARTITION (ds='3', hh) SELECT 9;
--! ODPS-0130071 [1,1] Semantic analysis exception - wrong columns count 1 in data source, requires 2 columns (includes dynamic partitions if any)

SELECT COUNT(*) FROM w2 WHERE ds = '3';
--: bigint
--> 1

-- recalled: CREATE TABLE (CREATE TABLE AS SELECT)
CREATE TABLE w3 AS SELECT 1 AS a, 'x' AS b, 1.5 AS c, ARRAY(1) AS d; SELECT * FROM w3;
--: bigint, string, double, array<bigint>
--> 1 | 'x' | 1.5 | [1]

CREATE TABLE w3 AS SELECT 1 AS a;
--! ODPS-0110061 Failed to run ddltask - AlreadyExistsException(message:Table p.w3 already exists.)

CREATE TABLE IF NOT EXISTS w3 AS SELECT 2 AS a; SELECT a FROM w3;
--: bigint
--> 1

CREATE TABLE w4 LIKE w2; SELECT COUNT(*) FROM w4;
--: bigint
--> 0

DROP TABLE w4; DROP TABLE IF EXISTS w4; SELECT * FROM w4;
--! ODPS-0130131 [1,15] Table not found - table p.w4 cannot be resolved

DROP TABLE w4;
--! ODPS-0130131 [1,1] Table not found - table p.w4 cannot be resolved

-- recalled: Partition operations
ALTER TABLE w2 ADD IF NOT EXISTS PARTITION (ds='9', hh='9'); ALTER TABLE w2 DROP IF EXISTS PARTITION (ds='1', hh='a'); ALTER TABLE w2 DROP IF EXISTS PARTITION (ds='1', hh='a'); SHOW PARTITIONS w2;
--> ds=1/hh=b
--> ds=2/hh=x
--> ds=2/hh=y
--> ds=3/hh=z
--> ds=9/hh=9

ALTER TABLE w2 DROP PARTITION (ds='nope', hh='nope');
--! ODPS-0110061 The specified partition does not exist - ds=nope/hh=nope of p.w2

ALTER TABLE w2 ADD PARTITION (ds='9', hh='9');
--! ODPS-0110061 Failed to run ddltask - AlreadyExistsException(message:Partition ds=9/hh=9 of p.w2 already exists.)

ALTER TABLE w2 ADD PARTITION (ds='9');
--! ODPS-0123031 Partition exception - invalid partition spec {'ds': '9'}, expected columns ['ds', 'hh']

TRUNCATE TABLE w2 PARTITION (ds='2', hh='x'); SELECT n FROM w2 ORDER BY n;
--: bigint
--> 2
--> 8
--> 9

TRUNCATE TABLE w1; SELECT COUNT(*) FROM w1;
--: bigint
--> 0

-- recalled: Views
CREATE VIEW v1 AS SELECT name, age * 2 AS twice FROM people WHERE age > 26; SELECT * FROM v1;
--: string, bigint
--> 'ann' | 60

CREATE OR REPLACE VIEW v1 (a, b) AS SELECT 1, 'x'; SELECT b, a FROM v1;
--: string, bigint
--> 'x' | 1

CREATE VIEW IF NOT EXISTS v1 AS SELECT 2 AS z; SELECT a FROM v1;
--: bigint
--> 1

INSERT INTO v1 SELECT 1, 'x';
--! ODPS-0130071 [1,1] Semantic analysis exception - p.v1 is a view

CREATE VIEW v2 AS SELECT b FROM v1; WITH b AS (SELECT b FROM v2) SELECT * FROM b;
--: string
--> 'x'

DROP VIEW v2; SELECT * FROM v2;
--! ODPS-0130131 [1,15] Table not found - table p.v2 cannot be resolved

DROP TABLE v1;
--! ODPS-0130071 [1,1] Semantic analysis exception - p.v1 is a view

DROP VIEW IF EXISTS nowhere;
--> nothing

-- page: MaxCompute V2.0 data type edition (types of tables)
SET odps.sql.type.system.odps2=true; SELECT i, s, t, f, v, d, ts, b FROM small;
--: int, smallint, tinyint, float, varchar(3), date, timestamp, binary
--> 1 | 2 | 3 | 1.5 | 'abc' | 2026-11-20 | 2026-11-20 01:02:03.123456 | X'616263'

SELECT i + 1, s, f FROM small;
--: bigint, bigint, double
--> 2 | 2 | 1.5

SET odps.sql.type.system.odps2=true; INSERT INTO small (i) SELECT 3000000000;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column i: cannot convert BIGINT to INT

SET odps.sql.type.system.odps2=true; INSERT INTO small (i) SELECT n FROM days;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column i: cannot convert BIGINT to INT

-- recalled: MULTI INSERT
CREATE TABLE m1 (n BIGINT); CREATE TABLE m2 (n BIGINT, s STRING) PARTITIONED BY (ds STRING); FROM people INSERT OVERWRITE TABLE m1 SELECT age WHERE age > 26 INSERT INTO TABLE m2 PARTITION (ds='1') SELECT age, name WHERE name IS NOT NULL INSERT INTO TABLE m2 PARTITION (ds='2') SELECT COUNT(*), 'all'; SELECT n, s, ds FROM m2 UNION ALL SELECT n, 'm1', '-' FROM m1 ORDER BY ds, n, s;
--: bigint, string, string
--> 30 | 'm1' | '-'
--> NULL | 'cid' | '1'
--> 25 | 'bob' | '1'
--> 30 | 'ann' | '1'
--> 4 | 'all' | '2'

WITH c AS (SELECT 5 AS x) FROM (SELECT x FROM c) t INSERT INTO TABLE m1 SELECT t.x; SELECT * FROM m1 ORDER BY n;
--: bigint
--> 5
--> 30

FROM orders LATERAL VIEW EXPLODE(tags) t AS tag INSERT OVERWRITE TABLE m2 PARTITION (ds) SELECT id, tag, tag; SELECT * FROM m2 WHERE ds > '9' ORDER BY n, s;
--: bigint, string, string
--> 1 | 'a' | 'a'
--> 1 | 'b' | 'b'
--> 2 | 'c' | 'c'

FROM people INSERT OVERWRITE TABLE m1 SELECT age INSERT INTO TABLE m2 PARTITION (ds='1') SELECT 'x', name;
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Bigint

SELECT COUNT(*) FROM m1;
--: bigint
--> 2

FROM people INSERT OVERWRITE TABLE m1 SELECT age INSERT OVERWRITE TABLE m1 SELECT age;
--! ODPS-0130071 [1,1] Semantic analysis exception - the statement writes to p.m1 twice, where it needs different partitions, and either INTO or OVERWRITE

FROM people INSERT OVERWRITE TABLE m2 PARTITION (ds='1') SELECT age, name INSERT INTO TABLE m2 PARTITION (ds='2') SELECT age, name;
--! ODPS-0130071 [1,1] Semantic analysis exception - the statement writes to p.m2 twice, where it needs different partitions, and either INTO or OVERWRITE

-- refused: MULTI INSERT of rows that are others each time they are read
FROM (SELECT UUID() AS u, age FROM people) t INSERT INTO TABLE m1 SELECT age INSERT INTO TABLE m2 PARTITION (ds='u') SELECT age, u;
--! ODPS-0130161 [1,1] Parse exception - FROM ... INSERT ... of a query with LIMIT, RAND or UUID is not supported by the local cloud

FROM (SELECT age FROM people LIMIT 2) t INSERT INTO TABLE m1 SELECT age;
--! ODPS-0130161 [1,1] Parse exception - FROM ... INSERT ... of a query with LIMIT, RAND or UUID is not supported by the local cloud

FROM people INSERT INTO TABLE m1 SELECT n FROM days;
--! ODPS-0130161 [1,1] Parse exception - an INSERT behind FROM takes a SELECT without FROM

-- page: Partition and column operations (drop partitions by a condition)
CREATE TABLE pp (n BIGINT) PARTITIONED BY (ds STRING, hh BIGINT); ALTER TABLE pp ADD PARTITION (ds='20260101', hh=1) PARTITION (ds='20260101', hh=10) PARTITION (ds='20260201', hh=2) PARTITION (ds='20260301', hh=3); ALTER TABLE pp DROP PARTITION (ds < '20260201' AND hh > 9); SHOW PARTITIONS pp;
--> ds=20260101/hh=1
--> ds=20260201/hh=2
--> ds=20260301/hh=3

SHOW PARTITIONS pp PARTITION (ds='20260101');
--> ds=20260101/hh=1

ALTER TABLE pp DROP PARTITION (hh > 100);
--! ODPS-0110061 The specified partition does not exist - hh > 100 of p.pp

ALTER TABLE pp DROP PARTITION (n > 2);
--! ODPS-0130071 [1,198] Semantic analysis exception - column n cannot be resolved

ALTER TABLE people DROP IF EXISTS PARTITION (age < 1);
--! ODPS-0123031 Partition exception - table p.people is not partitioned

ALTER TABLE pp DROP PARTITION (ds < );
--! ODPS-0130161

ALTER TABLE pp DROP PARTITION (ds > '0' ORDER BY ds);
--! ODPS-0130161

ALTER TABLE pp DROP IF EXISTS PARTITION (hh > 100), PARTITION (hh > 2), PARTITION (ds='20260101', hh=1); SHOW PARTITIONS pp;
--> ds=20260201/hh=2

ALTER TABLE pp DROP PARTITION (TO_DATE(ds, 'yyyymmdd') < DATETIME '2026-02-02 00:00:00'); SHOW PARTITIONS pp;
--> nothing

ALTER TABLE pp DROP IF EXISTS PARTITION (nope < 1);
--! ODPS-0130071 [1,145] Semantic analysis exception - column nope cannot be resolved

-- recalled: SHOW TABLES LIKE, SHOW CREATE TABLE
SHOW TABLES LIKE 'PEO*';
--> ALIYUN$local:people

CREATE TABLE shown (a STRING NOT NULL COMMENT 'it\'s', b DECIMAL(10,2)) COMMENT 'x' PARTITIONED BY (ds STRING COMMENT 'day') TBLPROPERTIES ('a'='b') LIFECYCLE 7; SHOW CREATE TABLE shown;
--> CREATE TABLE IF NOT EXISTS p.shown (`a` STRING NOT NULL COMMENT 'it\'s', `b` DECIMAL(10,2))
--> COMMENT 'x'
--> PARTITIONED BY (`ds` STRING COMMENT 'day')
--> TBLPROPERTIES ('a'='b')
--> LIFECYCLE 7;

-- refused: changes of single rows
UPDATE w1 SET n = 1;
--! ODPS-0130161 [1,1] Parse exception - statement UPDATE is not supported by the local cloud

DELETE FROM w1;
--! ODPS-0130161 [1,1] Parse exception - statement DELETE is not supported by the local cloud

MERGE INTO w1 USING w3 ON w1.n = w3.a WHEN MATCHED THEN DELETE;
--! ODPS-0130161 [1,1] Parse exception - statement MERGE is not supported by the local cloud

-- recalled: INSERT INTO, INSERT OVERWRITE (a partitioned table needs PARTITION)
INSERT INTO w2 SELECT 1, '4', 'z';
--! ODPS-0130071 [1,1] Semantic analysis exception - p.w2 is partitioned, INSERT needs PARTITION (...)

-- recalled: ALTER TABLE (lifecycle and small files, which change nothing here)
ALTER TABLE days DISABLE LIFECYCLE;
--> nothing

ALTER TABLE days PARTITION (ds='20261119') ENABLE LIFECYCLE;
--> nothing

ALTER TABLE days PARTITION (ds='20261119') MERGE SMALLFILES;
--> nothing

ALTER TABLE days PARTITION (ds='nope') ENABLE LIFECYCLE;
--! ODPS-0110061 The specified partition does not exist - ds=nope of p.days
