-- page: Type conversions (implicit conversion)

SELECT '10' < 9, '10' = 10, '10.0' = 10, 10 = 10.0, '2' > '10';

SELECT 'abc' = 1;

SET odps.sql.udf.strict.mode=false; SELECT 'abc' = 1;

SELECT DATETIME '2026-11-20 00:00:00' = '2026-11-20 00:00:00', '2026-11-21 00:00:00' > DATETIME '2026-11-20 00:00:00';

SELECT DATETIME '2026-11-20 00:00:00' = '2026-11-20';

SELECT 1.5BD = 1.5, 1.5BD = '1.5', 2BD > 1;

SELECT true = 1;

SELECT true = 'true';

SELECT DATETIME '2026-11-20 00:00:00' = 20261120;

SELECT '1' + 1, '1' + '2', '6' / '3', 1 + 1.5;

SELECT 'x' + 1;

SELECT true + 1;

SELECT DATETIME '2026-11-20 00:00:00' + 1;

SELECT 1 AND true;

SELECT NOT 1;

SELECT 1 FROM people WHERE age;

SELECT IF('true', 1, 2);

SELECT name FROM people WHERE age IN ('30', '25') ORDER BY name;

SELECT 1 IN ('1', '2'), '1.0' IN (1, 2), 1 NOT IN (2, 3), NULL IN (1), 1 IN (1, NULL), 1 IN (2, NULL), 1 NOT IN (2, NULL);

SELECT 5 BETWEEN '1' AND 10, 5 NOT BETWEEN 1 AND 10, NULL BETWEEN 1 AND 2;

SELECT CONCAT(1, 2.5, DATETIME '2026-11-20 00:00:00'), LENGTH(12345);

SELECT CONCAT(true, 'a');

SELECT 1 LIKE '1';

-- page: Rewrite incompatible SQL statements (pt.implicit.convertion.failed)
CREATE TABLE srcpt (k STRING) PARTITIONED BY (pt STRING); INSERT INTO srcpt PARTITION (pt='pt1') VALUES ('a'); SELECT k FROM srcpt WHERE pt IN (1, 2);

SELECT n FROM days WHERE ds = 20261120;

-- page: CASE WHEN expression (results of different types)
SELECT CASE WHEN true THEN 1 ELSE 2.5 END, CASE WHEN false THEN 1 ELSE 'a' END, CASE WHEN true THEN 1 ELSE NULL END;

SELECT CASE WHEN true THEN true ELSE 1 END;

-- page: ODPS-0130241
SELECT 1 AS a UNION ALL SELECT 'a';

SELECT 1 AS a UNION ALL SELECT 2.5;

SELECT 1 AS a, 2 AS b UNION ALL SELECT 1;

SELECT NULL AS a UNION ALL SELECT 'x';

-- page: MaxCompute V2.0 data type edition (implicit conversions that are off)
CREATE TABLE numbers (n BIGINT, d DOUBLE); SET odps.sql.type.system.odps2=true; INSERT INTO numbers SELECT '1', 1.0;

SET odps.sql.type.system.odps2=true; INSERT INTO numbers SELECT 1.5, 1.0;

SET odps.sql.type.system.odps2=true; SELECT DATEADD('2026-11-20 00:00:00', 1, 'dd');

SET odps.sql.type.system.odps2=true; INSERT INTO numbers SELECT 7, '2.5'; SELECT * FROM numbers;

-- page: Data type edition 1.0
INSERT OVERWRITE TABLE numbers SELECT '12', '3.5'; SELECT * FROM numbers;

INSERT INTO numbers SELECT 'x', 1;

INSERT INTO numbers SELECT true, 1;

INSERT INTO numbers SELECT DATETIME '2026-11-20 00:00:00', 1;

SELECT * FROM numbers;
