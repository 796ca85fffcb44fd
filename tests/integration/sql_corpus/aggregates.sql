-- recalled: COUNT
SELECT COUNT(*), COUNT(1), COUNT(age), COUNT(DISTINCT age), COUNT(DISTINCT name, age), COUNT(DISTINCT member) FROM people;
--: bigint, bigint, bigint, bigint, bigint, bigint
--> 4 | 4 | 3 | 2 | 2 | 2

-- recalled: SUM, AVG, MAX, MIN
SELECT SUM(age), AVG(age), MAX(age), MIN(age), SUM(height), MAX(name), MIN(born) FROM people;
--: bigint, double, bigint, bigint, double, string, datetime
--> 80 | 26.666666666666668 | 30 | 25 | 5.1 | 'cid' | 1996-05-01 08:30:00

SELECT COUNT(*), SUM(age), AVG(age), MAX(age), MIN(name) FROM people WHERE false;
--: bigint, bigint, double, bigint, string
--> 0 | NULL | NULL | NULL | NULL

SELECT SUM(DISTINCT age), AVG(DISTINCT age) FROM people;
--: bigint, double
--> 55 | 27.5

SELECT SUM('1.5'), AVG('2'), SUM(1), SUM(1.5);
--: double, double, bigint, double
--> 1.5 | 2.0 | 1 | 1.5

SELECT SUM(member) FROM people;
--! ODPS-0130141 [1,1] Illegal implicit type cast - argument 1 of SUM: cannot convert BOOLEAN to DOUBLE

SELECT MAX(member) FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - function MAX: does not take BOOLEAN

SELECT SUM(name) FROM people;
--! ODPS-0123091 Illegal type cast - in function cast, value 'ann' cannot be casted from String to Double

-- recalled: STDDEV, STDDEV_SAMP, VARIANCE, VAR_SAMP, MEDIAN, PERCENTILE, COVAR_POP, COVAR_SAMP, CORR
SELECT STDDEV(n), STDDEV_POP(n), STDDEV_SAMP(n), VARIANCE(n), VAR_POP(n), VAR_SAMP(n), MEDIAN(n), PERCENTILE(n, 0.5) FROM (SELECT 1 AS n UNION ALL SELECT 3) t;
--: double, double, double, double, double, double, double, double
--> 1.0 | 1.0 | 1.4142135623730951 | 1.0 | 1.0 | 2.0 | 2.0 | 2.0

SELECT COVAR_POP(x, y), COVAR_SAMP(x, y), CORR(x, y) FROM VALUES (1, 2), (2, 4), (3, 6) t(x, y);
--: double, double, double
--> 1.3333333333333333 | 2.0 | 1.0

-- recalled: WM_CONCAT
SELECT WM_CONCAT(',', name) FROM (SELECT 'a' AS name UNION ALL SELECT NULL UNION ALL SELECT 'a') t;
--: string
--> 'a,a'

SELECT WM_CONCAT('-', name) WITHIN GROUP (ORDER BY name DESC), WM_CONCAT(DISTINCT ',', age) FROM people;
--: string, string
--> 'cid-bob-ann' | '25,30'

SELECT WM_CONCAT(',', name) FROM people WHERE false;
--: string
--> NULL

SELECT WM_CONCAT(name, ',') FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - function WM_CONCAT: argument 1 must be a constant in the local cloud

-- recalled: ANY_VALUE, COUNT_IF
SELECT ANY_VALUE(n), COUNT_IF(n = 1) FROM (SELECT 1 AS n UNION ALL SELECT 1) t;
--: bigint, bigint
--> 1 | 2

-- recalled: GROUP BY
SELECT age, COUNT(*) FROM people GROUP BY age ORDER BY age;
--: bigint, bigint
--> NULL | 1
--> 25 | 2
--> 30 | 1

SELECT age + 1 AS next, COUNT(*) AS n FROM people GROUP BY age + 1 ORDER BY next;
--: bigint, bigint
--> NULL | 1
--> 26 | 2
--> 31 | 1

SELECT age + 1 AS next, COUNT(*) AS n FROM people GROUP BY next ORDER BY next;
--: bigint, bigint
--> NULL | 1
--> 26 | 2
--> 31 | 1

-- unverified: GROUP BY a name means a column before a result of the SELECT
SELECT age % 2 AS age, COUNT(*) AS n FROM people GROUP BY age ORDER BY age, n;
--: bigint, bigint
--> NULL | 1
--> 0 | 1
--> 1 | 2

-- recalled: GROUP BY
SET hive.groupby.position.alias=true; SELECT member, COUNT(*) AS n FROM people GROUP BY 1 ORDER BY member;
--: boolean, bigint
--> NULL | 1
--> false | 1
--> true | 2

SELECT member, COUNT(*) AS n FROM people GROUP BY 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - an expression that is no aggregate should appear in GROUP BY key

SELECT COUNT(*) FROM people GROUP BY 1;
--: bigint
--> 4

SELECT name, age FROM people GROUP BY name;
--! ODPS-0130071 [1,1] Semantic analysis exception - an expression that is no aggregate should appear in GROUP BY key

SELECT * FROM people GROUP BY name;
--! ODPS-0130071 [1,1] Semantic analysis exception - an expression that is no aggregate should appear in GROUP BY key

SELECT name FROM people WHERE COUNT(*) > 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - Binder Error: WHERE clause cannot contain aggregates!

SELECT SUM(COUNT(*)) FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - Binder Error: aggregate function calls cannot be nested

-- recalled: HAVING
SELECT age, COUNT(*) AS n FROM people GROUP BY age HAVING COUNT(*) > 1;
--: bigint, bigint
--> 25 | 2

SELECT age, COUNT(*) AS n FROM people GROUP BY age HAVING n > 1;
--: bigint, bigint
--> 25 | 2

SELECT COUNT(*) AS n FROM people HAVING COUNT(*) > 100;
--: bigint
--> nothing

-- unverified: in an aggregate a name means a column before a result of the SELECT
SELECT member, SUM(age) AS age FROM people GROUP BY member ORDER BY SUM(age);
--: boolean, bigint
--> NULL | NULL
--> false | 25
--> true | 55

-- refused: names that mean a column and a result, other than alone in ORDER BY
SELECT age % 2 AS age FROM people GROUP BY age HAVING age > 0;
--! ODPS-0130071 [1,1] Semantic analysis exception - age names a column and a result of the SELECT here

SELECT -age AS age FROM people ORDER BY age + 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - age names a column and a result of the SELECT here

-- refused: DISTINCT in STDDEV and the like
SELECT STDDEV(DISTINCT age) FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - function STDDEV: takes no DISTINCT in the local cloud

-- refused: GROUPING SETS, CUBE, ROLLUP
SELECT age, COUNT(*) FROM people GROUP BY age GROUPING SETS ((age), ());
--! ODPS-0130161 [1,1] Parse exception - GROUPING SETS is not supported here by the local cloud

SELECT age, COUNT(*) FROM people GROUP BY ROLLUP(age);
--! ODPS-0130161 [1,1] Parse exception - ROLLUP (ROLLUP (age)) is not supported by the local cloud

SELECT age, COUNT(*) FROM people GROUP BY age WITH CUBE;
--! ODPS-0130161 [1,1] Parse exception - CUBE is not supported here by the local cloud

-- refused: approximate counts, FILTER
SELECT APPROX_DISTINCT(age) FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - function APPROX_DISTINCT is not supported by the local cloud

SELECT COUNT(*) FILTER (WHERE age > 1) FROM people;
--! ODPS-0130161 [1,1] Parse exception - FILTER (COUNT(*) FILTER(WHERE age > 1)) is not supported by the local cloud
