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
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of SUM: cannot convert BOOLEAN to DOUBLE

SELECT MAX(member) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function MAX: does not take BOOLEAN

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
--! ODPS-0130071 [1,8] Semantic analysis exception - function WM_CONCAT: argument 1 must be a constant in the local cloud

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
--! ODPS-0130071 [1,55] Semantic analysis exception - age names a column and a result of the SELECT here

SELECT -age AS age FROM people ORDER BY age + 1;
--! ODPS-0130071 [1,41] Semantic analysis exception - age names a column and a result of the SELECT here

-- refused: DISTINCT in STDDEV and the like
SELECT STDDEV(DISTINCT age) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function STDDEV: takes no DISTINCT in the local cloud

-- page: GROUPING SETS (CUBE, ROLLUP, GROUPING, GROUPING_ID)
SELECT name, age, COUNT(*), GROUPING(name), GROUPING(age), GROUPING_ID(name, age) AS g FROM people GROUP BY name, age GROUPING SETS ((name, age), age, ()) ORDER BY g, name, age;
--: string, bigint, bigint, bigint, bigint, bigint
--> NULL | 25 | 1 | 0 | 0 | 0
--> 'ann' | 30 | 1 | 0 | 0 | 0
--> 'bob' | 25 | 1 | 0 | 0 | 0
--> 'cid' | NULL | 1 | 0 | 0 | 0
--> NULL | NULL | 1 | 1 | 0 | 2
--> NULL | 25 | 2 | 1 | 0 | 2
--> NULL | 30 | 1 | 1 | 0 | 2
--> NULL | NULL | 4 | 1 | 1 | 3

SELECT a, b, c, COUNT(*), GROUPING_ID(a, b, c) AS g FROM VALUES (1, 2, 3) AS t(a, b, c) GROUP BY CUBE(a, b, c) ORDER BY g;
--: bigint, bigint, bigint, bigint, bigint
--> 1 | 2 | 3 | 1 | 0
--> 1 | 2 | NULL | 1 | 1
--> 1 | NULL | 3 | 1 | 2
--> 1 | NULL | NULL | 1 | 3
--> NULL | 2 | 3 | 1 | 4
--> NULL | 2 | NULL | 1 | 5
--> NULL | NULL | 3 | 1 | 6
--> NULL | NULL | NULL | 1 | 7

SELECT a, b, c, d FROM VALUES (1, 2, 3, 4) AS t(a, b, c, d) GROUP BY CUBE((a, b), (c, d)) ORDER BY GROUPING_ID(a, b, c, d);
--> 1 | 2 | 3 | 4
--> 1 | 2 | NULL | NULL
--> NULL | NULL | 3 | 4
--> NULL | NULL | NULL | NULL

SELECT a, b, c, d FROM VALUES (1, 2, 3, 4) AS t(a, b, c, d) GROUP BY ROLLUP(a, (b, c), d) ORDER BY GROUPING_ID(a, b, c, d);
--> 1 | 2 | 3 | 4
--> 1 | 2 | 3 | NULL
--> 1 | NULL | NULL | NULL
--> NULL | NULL | NULL | NULL

SELECT a, b, c FROM VALUES (1, 2, 3) AS t(a, b, c) GROUP BY GROUPING SETS ((b), (c), ROLLUP(a, b, c)) ORDER BY GROUPING_ID(a, b, c);
--> 1 | 2 | 3
--> 1 | 2 | NULL
--> 1 | NULL | NULL
--> NULL | 2 | NULL
--> NULL | NULL | 3
--> NULL | NULL | NULL

SELECT a, b, c, d, e FROM VALUES (1, 2, 3, 4, 5) AS t(a, b, c, d, e) GROUP BY a, CUBE(b, c), GROUPING SETS ((d), (e)) ORDER BY GROUPING_ID(a, b, c, d, e);
--> 1 | 2 | 3 | 4 | NULL
--> 1 | 2 | 3 | NULL | 5
--> 1 | 2 | NULL | 4 | NULL
--> 1 | 2 | NULL | NULL | 5
--> 1 | NULL | 3 | 4 | NULL
--> 1 | NULL | 3 | NULL | 5
--> 1 | NULL | NULL | 4 | NULL
--> 1 | NULL | NULL | NULL | 5

-- recalled: GROUPING SETS (Hive's form WITH ROLLUP and WITH CUBE)
SELECT age, member, COUNT(*) AS c FROM people GROUP BY age, member WITH ROLLUP ORDER BY c, age, member;
--> NULL | NULL | 1
--> NULL | NULL | 1
--> 25 | false | 1
--> 25 | true | 1
--> 30 | NULL | 1
--> 30 | true | 1
--> 25 | NULL | 2
--> NULL | NULL | 4

SELECT age, member, COUNT(*) AS c FROM people GROUP BY age, member WITH CUBE HAVING GROUPING(age) = 1 ORDER BY c, age, member;
--> NULL | NULL | 1
--> NULL | false | 1
--> NULL | true | 2
--> NULL | NULL | 4

-- unverified: keys of grouping sets that are expressions and names of results
SELECT SUBSTR(name, 1, 1) AS p, SUM(age) AS s FROM people WHERE name IS NOT NULL GROUP BY ROLLUP(p) ORDER BY p, s;
--> NULL | 55
--> 'a' | 30
--> 'b' | 25
--> 'c' | NULL

SELECT age, c FROM (SELECT age, COUNT(*) AS c FROM people GROUP BY ROLLUP(age)) t WHERE age = 25;
--> 25 | 2

-- refused: GROUPING of no key, columns that are in no set, other forms
SELECT age, GROUPING(name) FROM people GROUP BY ROLLUP(age);
--! ODPS-0130071 [1,1] Semantic analysis exception - GROUPING takes columns of GROUP BY only

SELECT GROUPING(age) FROM people;
--! ODPS-0130071 [1,1] Semantic analysis exception - GROUPING takes columns of GROUP BY only

SELECT age FROM people GROUP BY age, name GROUPING SETS ((age), ());
--! ODPS-0130071 [1,1] Semantic analysis exception - GROUPING SETS behind a list of columns must use all of them and no others in the local cloud

SELECT age FROM people GROUP BY name, ROLLUP(age) WITH CUBE;
--! ODPS-0130161 [1,1] Parse exception - this form of GROUP BY is not supported by the local cloud

SELECT age, GROUPING__ID FROM people GROUP BY ROLLUP(age);
--! ODPS-0130071 [1,13] Semantic analysis exception - column GROUPING__ID cannot be resolved

-- page: MAX_BY, MIN_BY, ARG_MAX, ARG_MIN (rows whose compared value is NULL do not count)
SELECT MAX_BY(name, age), MIN_BY(name, height), ARG_MAX(age, name), ARG_MIN(age, height), MAX_BY(height, born) FROM people;
--: string, string, string, double, double
--> 'ann' | NULL | 'ann' | 1.8 | 1.8

SELECT member, MAX_BY(name, age) FROM people GROUP BY member ORDER BY member;
--: boolean, string
--> NULL | NULL
--> false | 'bob'
--> true | 'ann'

SELECT MAX_BY(name, age), MIN_BY(NULL, age) FROM people WHERE false;
--: string, string
--> NULL | NULL

SELECT MAX_BY(name) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function MAX_BY: takes 2 arguments in the local cloud, not 1

-- refused: MAX_BY of values that compare only in part
SELECT MAX_BY(who, marks) FROM orders;
--! ODPS-0130071 [1,8] Semantic analysis exception - function MAX_BY: does not compare MAP<STRING,BIGINT> in the local cloud

-- page: APPROX_DISTINCT (an estimate there, exact here; NULL does not count)
SELECT APPROX_DISTINCT(age), APPROX_DISTINCT(name), APPROX_DISTINCT(NULL) FROM people;
--: bigint, bigint, bigint
--> 2 | 3 | 0

-- page: PERCENTILE (counts places from 0, and interpolates)
SELECT PERCENTILE(n, 0.3), PERCENTILE(n, ARRAY(0, 0.3, 0.5, 1)), PERCENTILE(n, 1) FROM VALUES (100), (200), (300), (NULL) t(n);
--: double, array<double>, double
--> 160.0 | [100.0, 160.0, 200.0, 300.0] | 300.0

SELECT PERCENTILE(n, 0.3), PERCENTILE(n, ARRAY(0.3)), PERCENTILE_APPROX(n, 0.5) FROM VALUES (100), (200) t(n) WHERE n > 300;
--: double, array<double>, double
--> NULL | NULL | NULL

SELECT PERCENTILE(n, 1.5) FROM VALUES (100) t(n);
--! ODPS-0121095 Invalid arguments - a percentile must be between 0 and 1

SELECT PERCENTILE(n, -0.5) FROM VALUES (100) t(n);
--! ODPS-0121095 Invalid arguments - a percentile must be between 0 and 1

SELECT PERCENTILE(n, NULL) FROM VALUES (100) t(n);
--! ODPS-0121095 Invalid arguments - a percentile must be between 0 and 1

SELECT PERCENTILE(n, 0.3) FROM VALUES ('a') t(n);
--! ODPS-0123091 Illegal type cast - in function cast, value 'a' cannot be casted from String to Bigint

-- page: PERCENTILE_APPROX (counts places from 1; exact while the column has fewer values than the precision)
SELECT PERCENTILE_APPROX(n, 0.25), PERCENTILE_APPROX(n, 0.4), PERCENTILE_APPROX(n, 0.5), PERCENTILE_APPROX(n, 0.75), PERCENTILE_APPROX(n, ARRAY(0.1, 0.5), 1000) FROM VALUES (100), (200), (300), (400) t(n);
--: double, double, double, double, array<double>
--> 100.0 | 200.0 | 250.0 | 400.0 | [100.0, 250.0]

SELECT n % 2, PERCENTILE(n, 0.5), PERCENTILE_APPROX(n, ARRAY(0.5)) FROM VALUES (1), (2), (3) t(n) GROUP BY n % 2 ORDER BY n % 2;
--: bigint, double, array<double>
--> 0 | 2.0 | [2.0]
--> 1 | 2.0 | [1.0]

-- refused: weights of PERCENTILE_APPROX
SELECT PERCENTILE_APPROX(n, n, 0.5) FROM VALUES (100) t(n);
--! ODPS-0130071 [1,8] Semantic analysis exception - function PERCENTILE_APPROX: takes no weight in the local cloud, and a precision that is a constant BIGINT

-- recalled: BITWISE_AND_AGG, BITWISE_OR_AGG, BITWISE_XOR_AGG, BOOL_AND, BOOL_OR
SELECT BITWISE_AND_AGG(n), BITWISE_OR_AGG(n), BITWISE_XOR_AGG(n), BOOL_AND(n > 1), BOOL_OR(n > 1) FROM VALUES (1), (3), (NULL) t(n);
--: bigint, bigint, bigint, boolean, boolean
--> 1 | 3 | 2 | false | true

-- page: Aggregate functions (FILTER says which rows count)
SELECT COUNT(*) FILTER (WHERE age > 25), COUNT(*), SUM(age) FILTER (WHERE age > 99), COLLECT_LIST(age) FILTER (WHERE age < 30), WM_CONCAT(DISTINCT ',', age) FILTER (WHERE age < 30), AVG(pay) FILTER (WHERE age > 26), MAX_BY(name, age) FILTER (WHERE age < 30 AND name IS NOT NULL) FROM people;
--: bigint, bigint, bigint, array<bigint>, string, decimal(14,6), string
--> 1 | 4 | NULL | [25, 25] | '25' | 10.500000BD | 'bob'

SELECT name, COUNT(*) FILTER (WHERE age = 25) OVER (PARTITION BY member) FROM people ORDER BY name;
--: string, bigint
--> NULL | 1
--> 'ann' | 1
--> 'bob' | 1
--> 'cid' | 0

SELECT UPPER(name) FILTER (WHERE age > 1) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function UPPER takes no FILTER

SELECT RANK() FILTER (WHERE age > 1) OVER (ORDER BY age) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function RANK takes no FILTER

SELECT SUM(age) FILTER (WHERE name) FROM people;
--! ODPS-0130141 [1,8] Illegal implicit type cast - FILTER: cannot convert STRING to BOOLEAN
