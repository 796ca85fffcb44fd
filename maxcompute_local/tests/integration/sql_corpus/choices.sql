-- recalled: COALESCE, NVL, NULLIF
SELECT COALESCE(NULL, NULL, 3), COALESCE(NULL, 'a', 'b'), COALESCE(NULL), NVL(NULL, 2), NVL('a', 'b'), NULLIF(2, 3), NULLIF(2, 2);
--: bigint, string, string, bigint, string, bigint, bigint
--> 3 | 'a' | NULL | 2 | 'a' | 2 | NULL

SELECT COALESCE(age, -1), NVL(name, '-') FROM people ORDER BY NVL(name, '-');
--: bigint, string
--> 25 | '-'
--> 30 | 'ann'
--> 25 | 'bob'
--> -1 | 'cid'

SELECT COALESCE(1, 2.5), COALESCE(NULL, 1);
--: double, bigint
--> 1.0 | 1

-- refused: COALESCE and NVL of strings and numbers
SELECT COALESCE(1, 'a');
--! ODPS-0130141 [1,8] Illegal implicit type cast - COALESCE: BIGINT and STRING have no common type

SELECT NVL(1, 'a');
--! ODPS-0130141 [1,8] Illegal implicit type cast - NVL: BIGINT and STRING have no common type

-- recalled: IF
SELECT IF(100 = 200, 100, 200), IF(NULL, 1, 2), IF(true, 1, NULL), IF(false, 1, 'a'), IF(1 > 0, 1, 2.5);
--: bigint, bigint, bigint, string, double
--> 200 | 2 | 1 | 'a' | 1.0

-- recalled: DECODE (NULL matches NULL)
SELECT DECODE(2, 1, 'Taobao', 2, 'Alipay', 3, 'Aliyun', NULL, 'N/A', 'Others'), DECODE(NULL, 1, 'Taobao', NULL, 'N/A', 'Others'), DECODE(9, 1, 'Taobao', 'Others'), DECODE(9, 1, 'Taobao', 2, 'x');
--: string, string, string, string
--> 'Alipay' | 'N/A' | 'Others' | NULL

-- page: GREATEST (NULL is the smallest value)
SELECT GREATEST(2.5, 5, 3.14BD, '9.9'), GREATEST(1, 3, 2), GREATEST(1, NULL), GREATEST(NULL, NULL), GREATEST('a', 'b'), GREATEST(DATETIME '2025-09-01 00:00:00', '2025-10-01 12:00:00'), GREATEST(1, 2.5, '3');
--: decimal(38,18), bigint, bigint, string, string, datetime, double
--> 9.900000000000000000BD | 3 | 1 | NULL | 'b' | 2025-10-01 12:00:00 | 3.0

-- page: LEAST
SELECT LEAST(5, 2, 7), LEAST('a', 'b'), LEAST(1, 2.5), LEAST(DATE '2025-01-01', DATE '2024-01-01');
--: bigint, string, double, date
--> 2 | 'a' | 1.0 | 2024-01-01

-- page: LEAST (NULL is the smallest value)
SELECT LEAST(1, NULL);
--: bigint
--> NULL

SELECT GREATEST(true, false);
--! ODPS-0130071 [1,8] Semantic analysis exception - function GREATEST: takes numbers, strings and dates only

SELECT GREATEST(1, DATETIME '2025-09-01 00:00:00');
--! ODPS-0130141 [1,8] Illegal implicit type cast - GREATEST: BIGINT and DATETIME cannot be compared

-- recalled: UUID, RAND
SELECT LENGTH(UUID()), RAND() BETWEEN 0 AND 1, UUID() = UUID();
--: bigint, boolean, boolean
--> 36 | true | false

-- refused: RAND with a seed
SELECT RAND(1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function RAND: takes 0 arguments in the local cloud, not 1

-- unverified: TYPEOF, as in Spark
SELECT TYPEOF(1), TYPEOF('a'), TYPEOF(1.5BD), TYPEOF(NULL), TYPEOF(ARRAY(1)), TYPEOF(MAP('a', 1.0));
--: string, string, string, string, string, string
--> 'bigint' | 'string' | 'decimal(2,1)' | 'void' | 'array<bigint>' | 'map<string,double>'

SELECT TYPEOF(1, 2);
--! ODPS-0130071 [1,8] Semantic analysis exception - function TYPEOF: takes 1 arguments in the local cloud, not 2

-- page: HASH (NULL and '' count as 0)
SELECT HASH(0, 2, 4), HASH(0, 'a'), HASH(0, NULL), HASH(0, '');
--: bigint, bigint, bigint, bigint
--> 66 | 97 | 0 | 0

-- unverified: HASH of other values, as in Hive
SELECT HASH(1.5), HASH(true), HASH('abc'), HASH(-1), HASH(123456789012), HASH('中');
--: bigint, bigint, bigint, bigint, bigint, bigint
--> 1073217536 | 1 | 96354 | 0 | -1097262584 | -29223

-- refused: HASH of other types
SELECT HASH(ARRAY(1));
--! ODPS-0130071 [1,8] Semantic analysis exception - function HASH: does not take ARRAY<BIGINT> in the local cloud
