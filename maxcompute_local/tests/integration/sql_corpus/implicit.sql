-- recalled: Type conversions (implicit conversion)

SELECT '10' < 9, '10' = 10, '10.0' = 10, 10 = 10.0, '2' > '10';
--: boolean, boolean, boolean, boolean, boolean
--> false | true | true | true | true

SELECT 'abc' = 1;
--! ODPS-0123091 Illegal type cast - in function cast, value 'abc' cannot be casted from String to Double

SET odps.sql.udf.strict.mode=false; SELECT 'abc' = 1;
--: boolean
--> NULL

SELECT DATETIME '2026-11-20 00:00:00' = '2026-11-20 00:00:00', '2026-11-21 00:00:00' > DATETIME '2026-11-20 00:00:00';
--: boolean, boolean
--> true | true

SELECT DATETIME '2026-11-20 00:00:00' = '2026-11-20';
--! ODPS-0123091 Illegal type cast - in function cast, value '2026-11-20' cannot be casted from String to Datetime

SELECT 1.5BD = 1.5, 1.5BD = '1.5', 2BD > 1;
--: boolean, boolean, boolean
--> true | true | true

SELECT true = 1;
--! ODPS-0130141 [1,15] Illegal implicit type cast - comparison: BOOLEAN and BIGINT cannot be compared

SELECT true = 'true';
--! ODPS-0130141 [1,15] Illegal implicit type cast - comparison: BOOLEAN and STRING cannot be compared

SELECT DATETIME '2026-11-20 00:00:00' = 20261120;
--! ODPS-0130141 [1,17] Illegal implicit type cast - comparison: DATETIME and BIGINT cannot be compared

SELECT '1' + 1, '1' + '2', '6' / '3', 1 + 1.5;
--: double, double, double, double
--> 2.0 | 3.0 | 2.0 | 2.5

SELECT 'x' + 1;
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Double

SELECT true + 1;
--! ODPS-0130141 [1,15] Illegal implicit type cast - operator +: cannot convert BOOLEAN to DOUBLE

SELECT DATETIME '2026-11-20 00:00:00' + 1;
--! ODPS-0130141 [1,17] Illegal implicit type cast - operator +: cannot convert DATETIME to DOUBLE

SELECT 1 AND true;
--! ODPS-0130141 [1,8] Illegal implicit type cast - AND: cannot convert BIGINT to BOOLEAN

SELECT NOT 1;
--! ODPS-0130141 [1,12] Illegal implicit type cast - NOT: cannot convert BIGINT to BOOLEAN

SELECT 1 FROM people WHERE age;
--! ODPS-0130141 [1,1] Illegal implicit type cast - WHERE: cannot convert BIGINT to BOOLEAN

SELECT IF('true', 1, 2);
--! ODPS-0130141 [1,11] Illegal implicit type cast - argument 1 of IF: cannot convert STRING to BOOLEAN

SELECT name FROM people WHERE age IN ('30', '25') ORDER BY name;
--: string
--> NULL
--> 'ann'
--> 'bob'

SELECT 1 IN ('1', '2'), '1.0' IN (1, 2), 1 NOT IN (2, 3), NULL IN (1), 1 IN (1, NULL), 1 IN (2, NULL), 1 NOT IN (2, NULL);
--: boolean, boolean, boolean, boolean, boolean, boolean, boolean
--> true | true | true | NULL | true | NULL | NULL

SELECT 5 BETWEEN '1' AND 10, 5 NOT BETWEEN 1 AND 10, NULL BETWEEN 1 AND 2;
--: boolean, boolean, boolean
--> true | false | NULL

SELECT CONCAT(1, 2.5, DATETIME '2026-11-20 00:00:00'), LENGTH(12345);
--: string, bigint
--> '12.52026-11-20 00:00:00' | 5

SELECT CONCAT(true, 'a');
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of CONCAT: cannot convert BOOLEAN to STRING

SELECT 1 LIKE '1';
--! ODPS-0130141 [1,8] Illegal implicit type cast - LIKE takes strings only, not BIGINT

-- page: Rewrite incompatible SQL statements (pt.implicit.convertion.failed)
CREATE TABLE srcpt (k STRING) PARTITIONED BY (pt STRING); INSERT INTO srcpt PARTITION (pt='pt1') VALUES ('a'); SELECT k FROM srcpt WHERE pt IN (1, 2);
--! ODPS-0123091 Illegal type cast - in function cast, value 'pt1' cannot be casted from String to Double

SELECT n FROM days WHERE ds = 20261120;
--: bigint
--> 3

-- recalled: CASE WHEN expression (results of different types)
SELECT CASE WHEN true THEN 1 ELSE 2.5 END, CASE WHEN false THEN 1 ELSE 'a' END, CASE WHEN true THEN 1 ELSE NULL END;
--: double, string, bigint
--> 1.0 | 'a' | 1

SELECT CASE WHEN true THEN true ELSE 1 END;
--! ODPS-0130141 [1,38] Illegal implicit type cast - CASE: BOOLEAN and BIGINT have no common type

-- page: ODPS-0130241
SELECT 1 AS a UNION ALL SELECT 'a';
--! ODPS-0130241 [1,1] Illegal union operation - type mismatch for column 0 of UNION, left is BIGINT while right is STRING

SELECT 1 AS a UNION ALL SELECT 2.5 ORDER BY a;
--: double
--> 1.0
--> 2.5

SELECT 1 AS a, 2 AS b UNION ALL SELECT 1;
--! ODPS-0130241 [1,1] Illegal union operation - the queries have 2 and 1 columns

SELECT NULL AS a UNION ALL SELECT 'x' ORDER BY a;
--: string
--> NULL
--> 'x'

-- page: MaxCompute V2.0 data type edition (implicit conversions that are off)
SET odps.sql.type.system.odps2=true; INSERT INTO numbers SELECT '1', 1.0;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column n: cannot convert STRING to BIGINT

SET odps.sql.type.system.odps2=true; INSERT INTO numbers SELECT 1.5, 1.0;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column n: cannot convert DOUBLE to BIGINT

SET odps.sql.type.system.odps2=true; SELECT DATEADD('2026-11-20 00:00:00', 1, 'dd');
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of DATEADD: cannot convert STRING to DATETIME

SET odps.sql.type.system.odps2=true; INSERT OVERWRITE TABLE numbers SELECT 7, '2.5'; SELECT * FROM numbers;
--: bigint, double
--> 7 | 2.5

-- page: Data type edition 1.0
INSERT OVERWRITE TABLE numbers SELECT '12', '3.5'; SELECT * FROM numbers;
--: bigint, double
--> 12 | 3.5

INSERT INTO numbers SELECT 'x', 1;
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Bigint

INSERT INTO numbers SELECT true, 1;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column n: cannot convert BOOLEAN to BIGINT

INSERT INTO numbers SELECT DATETIME '2026-11-20 00:00:00', 1;
--! ODPS-0130141 [1,1] Illegal implicit type cast - column n: cannot convert DATETIME to BIGINT
