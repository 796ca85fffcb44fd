-- recalled: SELECT syntax
SELECT * FROM days WHERE ds = '20261120';
--: bigint, string
--> 3 | '20261120'

SELECT d.*, 1 AS one FROM days d WHERE n = 1;
--: bigint, string, bigint
--> 1 | '20261119' | 1

SELECT * EXCEPT (n) FROM days WHERE n = 3;
--: string
--> '20261120'

SELECT p.days.n, days.ds FROM p.days WHERE days.n = 1;
--: bigint, string
--> 1 | '20261119'

SELECT DISTINCT age FROM people ORDER BY age;
--: bigint
--> NULL
--> 25
--> 30

SELECT DISTINCT age, member FROM people WHERE age = 25 ORDER BY member;
--: bigint, boolean
--> 25 | false
--> 25 | true

SELECT ALL age FROM people WHERE age = 30;
--: bigint
--> 30

SELECT nope FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - column nope cannot be resolved

SELECT x.name FROM people p;
--! ODPS-0130071 [1,8] Semantic analysis exception - column x.name cannot be resolved

SELECT * FROM nowhere;
--! ODPS-0130131 [1,15] Table not found - table p.nowhere cannot be resolved

SELECT *;
--! ODPS-0130071 [1,1] Semantic analysis exception - SELECT * needs a FROM

SELECT `(ds)?+.+` FROM days;
--! ODPS-0130071 [1,8] Semantic analysis exception - column (ds)?+.+ cannot be resolved

-- recalled: ORDER BY (NULL is the smallest value)
SELECT name FROM people ORDER BY name LIMIT 2;
--: string
--> NULL
--> 'ann'

SELECT name FROM people ORDER BY name DESC LIMIT 4;
--: string
--> 'cid'
--> 'bob'
--> 'ann'
--> NULL

SELECT name FROM people ORDER BY name NULLS LAST LIMIT 4;
--: string
--> 'ann'
--> 'bob'
--> 'cid'
--> NULL

SELECT name FROM people ORDER BY name DESC NULLS FIRST LIMIT 1;
--: string
--> NULL

SELECT name AS n, age FROM people ORDER BY age DESC, n LIMIT 4;
--: string, bigint
--> 'ann' | 30
--> NULL | 25
--> 'bob' | 25
--> 'cid' | NULL

SELECT -age AS age FROM people WHERE age > 0 ORDER BY age LIMIT 2;
--: bigint
--> -30
--> -25

SELECT name FROM people WHERE age > 0 ORDER BY height LIMIT 2;
--: string
--> NULL
--> 'ann'

SET hive.orderby.position.alias=true; SELECT name, age FROM people WHERE age > 0 ORDER BY 2, 1 LIMIT 3;
--: string, bigint
--> NULL | 25
--> 'bob' | 25
--> 'ann' | 30

SET hive.orderby.position.alias=true; SELECT name FROM people ORDER BY 2 LIMIT 3;
--! ODPS-0130071 [1,1] Semantic analysis exception - there is no column 2

SET odps.sql.validate.orderby.limit=true; SELECT name FROM people ORDER BY name;
--! ODPS-0130161 [1,1] Parse exception - ORDER BY must be used with a LIMIT clause

-- recalled: LIMIT
SELECT name FROM people ORDER BY name LIMIT 2 OFFSET 1;
--: string
--> 'ann'
--> 'bob'

SELECT name FROM people ORDER BY name LIMIT 1, 2;
--: string
--> 'ann'
--> 'bob'

SELECT name FROM people LIMIT 0;
--: string
--> nothing

SELECT name FROM people LIMIT -1;
--! ODPS-0130161 [1,1] Parse exception - LIMIT takes a whole number

-- recalled: DISTRIBUTE BY, SORT BY (they do not change which rows come out)
SELECT COUNT(*) FROM (SELECT name FROM people DISTRIBUTE BY age SORT BY name) t;
--: bigint
--> 4

SELECT COUNT(*) FROM (SELECT name FROM people CLUSTER BY age) t;
--: bigint
--> 4

-- recalled: JOIN
SELECT p.name, o.id FROM people p JOIN orders o ON p.name = o.who ORDER BY o.id;
--: string, bigint
--> 'ann' | 1
--> 'bob' | 2

SELECT p.name, o.id FROM people p LEFT JOIN orders o ON p.name = o.who ORDER BY p.name;
--: string, bigint
--> NULL | NULL
--> 'ann' | 1
--> 'bob' | 2
--> 'cid' | NULL

SELECT p.name, o.who FROM people p RIGHT OUTER JOIN orders o ON p.name = o.who ORDER BY o.who;
--: string, string
--> 'ann' | 'ann'
--> 'bob' | 'bob'
--> NULL | 'zoe'

SELECT p.name, o.who FROM people p FULL OUTER JOIN orders o ON p.name = o.who ORDER BY p.name, o.who;
--: string, string
--> NULL | NULL
--> NULL | 'zoe'
--> 'ann' | 'ann'
--> 'bob' | 'bob'
--> 'cid' | NULL

SELECT COUNT(*) FROM people CROSS JOIN orders;
--: bigint
--> 12

SELECT COUNT(*) FROM people, orders WHERE people.name = orders.who;
--: bigint
--> 2

SELECT o.id FROM orders o LEFT SEMI JOIN people p ON o.who = p.name ORDER BY o.id;
--: bigint
--> 1
--> 2

SELECT o.id FROM orders o LEFT ANTI JOIN people p ON o.who = p.name;
--: bigint
--> 3

SELECT p.age FROM orders o LEFT SEMI JOIN people p ON o.who = p.name;
--! ODPS-0130071 [1,8] Semantic analysis exception - column p.age cannot be resolved

SELECT /*+ MAPJOIN(o) */ COUNT(*) FROM people p JOIN orders o ON p.age > o.id;
--: bigint
--> 9

SELECT a.n, b.n FROM days a JOIN days b ON a.n = b.n + 1 AND a.ds = b.ds;
--: bigint, bigint
--> 2 | 1

SELECT * FROM (SELECT 1 AS a, 2 AS b) x JOIN (SELECT 1 AS a, 3 AS c) y USING (a);
--: bigint, bigint, bigint
--> 1 | 2 | 3

SELECT a, x.a, y.a FROM (SELECT 1 AS a) x FULL JOIN (SELECT 2 AS a) y USING (a) ORDER BY a;
--: bigint, bigint, bigint
--> 1 | 1 | NULL
--> 2 | NULL | 2

SELECT a FROM (SELECT 1 AS a) x JOIN (SELECT 1 AS a) y ON x.a = y.a;
--! ODPS-0130071 [1,8] Semantic analysis exception - column reference a is ambiguous

SELECT x.a FROM (SELECT 1 AS a) x JOIN (SELECT '1.0' AS a) y ON x.a = y.a;
--: bigint
--> 1

SELECT x.a FROM (SELECT NULL AS a) x JOIN (SELECT NULL AS a) y ON x.a = y.a;
--: string
--> nothing

SELECT 1 FROM people NATURAL JOIN orders;
--! ODPS-0130161 [1,1] Parse exception - NATURAL JOIN is not supported by the local cloud

SELECT x.a, y.b FROM (SELECT 1 AS a) x LEFT JOIN (SELECT 1 AS a, 2 AS b) y ON x.a = y.a AND y.b > 5;
--: bigint, bigint
--> 1 | NULL

-- recalled: UNION, INTERSECT, MINUS
SELECT 1 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 ORDER BY n;
--: bigint
--> 1
--> 1
--> 2

SELECT n FROM (SELECT 1 AS n UNION SELECT 1 UNION SELECT 2) t ORDER BY n;
--: bigint
--> 1
--> 2

SELECT 1 AS n INTERSECT SELECT 1;
--: bigint
--> 1

SELECT n FROM (SELECT 1 AS n UNION ALL SELECT 2) t MINUS SELECT 1;
--: bigint
--> 2

SELECT 2 AS n EXCEPT SELECT 1;
--: bigint
--> 2

SELECT 1 AS n UNION ALL SELECT 3 UNION ALL SELECT 2 ORDER BY n DESC LIMIT 2;
--: bigint
--> 3
--> 2

(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a;
--: bigint
--> 1
--> 2

SELECT name FROM people WHERE age = 30 UNION ALL SELECT who FROM orders WHERE id = 3 ORDER BY name;
--: string
--> 'ann'
--> 'zoe'

-- recalled: Subqueries
SELECT t.total FROM (SELECT SUM(age) AS total FROM people) t;
--: bigint
--> 80

SELECT name FROM people WHERE age = (SELECT MAX(age) FROM people);
--: string
--> 'ann'

SELECT who FROM orders WHERE who IN (SELECT name FROM people) ORDER BY who;
--: string
--> 'ann'
--> 'bob'

SELECT who FROM orders WHERE who NOT IN (SELECT name FROM people WHERE name IS NOT NULL);
--: string
--> 'zoe'

SELECT who FROM orders WHERE who NOT IN (SELECT name FROM people);
--: string
--> nothing

SELECT who FROM orders o WHERE EXISTS (SELECT 1 FROM people p WHERE p.name = o.who AND p.age > 26);
--: string
--> 'ann'

SELECT who FROM orders o WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.name = o.who);
--: string
--> 'zoe'

SELECT (SELECT age FROM people WHERE name = 'nobody');
--: bigint
--> NULL

SELECT (SELECT age FROM people);
--! ODPS-0121095 Invalid arguments - Invalid Input Error: More than one row returned by a subquery used as an expression - scalar subqueries can only return a single row.

SELECT (SELECT name, age FROM people);
--! ODPS-0130071 [1,16] Semantic analysis exception - a query in an expression must have one column

SELECT 1 IN (SELECT '1'), '2' IN (SELECT 1);
--: boolean, boolean
--> true | false

-- recalled: Common table expressions
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT a.x, b.y FROM a CROSS JOIN b;
--: bigint, bigint
--> 1 | 2

WITH a AS (SELECT RAND() AS r) SELECT x.r = y.r FROM a x CROSS JOIN a y;
--: boolean
--> true

WITH a (one, two) AS (SELECT 1, 2) SELECT two, one FROM a;
--: bigint, bigint
--> 2 | 1

WITH people AS (SELECT name FROM people WHERE age = 30) SELECT * FROM people;
--: string
--> 'ann'

WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a;
--! ODPS-0130161 [1,1] Parse exception - WITH RECURSIVE is not supported by the local cloud

-- recalled: VALUES
SELECT * FROM VALUES (1, 'a'), (NULL, 'b') t(n, s) ORDER BY s;
--: bigint, string
--> 1 | 'a'
--> NULL | 'b'

SELECT a + 1 AS b FROM VALUES (1), (2.5) t(a) ORDER BY b;
--: double
--> 2.0
--> 3.5

SELECT * FROM VALUES (1), ('a') t(x);
--! ODPS-0130141 [1,1] Illegal implicit type cast - VALUES: BIGINT and STRING have no common type

-- recalled: max_pt
SELECT n FROM days WHERE ds = MAX_PT('days');
--: bigint
--> 3

SELECT MAX_PT('p.days');
--: string
--> '20261120'

SELECT MAX_PT('people');
--! ODPS-0130071 [1,8] Semantic analysis exception - table p.people has no partition with data

-- recalled: Script mode
@a := SELECT 1 AS x; @b := SELECT x + 1 AS y FROM @a; SELECT y, '@a' FROM @b;
--: bigint, string
--> 2 | '@a'

@t := SELECT name, age FROM people WHERE age > 0; SELECT COUNT(*) FROM @t; SELECT MAX(age) FROM @t;
--: bigint
--> 30

SELECT * FROM @nothing;
--! ODPS-0130161 [1,1] Parse exception - table function @nothing is not supported

-- refused: settings that change the dialect
SET odps.sql.hive.compatible=true; SELECT 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - odps.sql.hive.compatible=true is not supported by the local cloud

SET odps.sql.bigquery.compatible=true; SELECT 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - odps.sql.bigquery.compatible=true is not supported by the local cloud

-- refused: functions that the local cloud does not know, also those that its engine has
SELECT FOO(1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function FOO is not supported by the local cloud

SELECT LIST_VALUE(1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function LIST_VALUE is not supported by the local cloud

SELECT READ_TEXT('x');
--! ODPS-0130071 [1,8] Semantic analysis exception - function READ_TEXT is not supported by the local cloud

SELECT GETENV('HOME');
--! ODPS-0130071 [1,8] Semantic analysis exception - function GETENV is not supported by the local cloud

SELECT STRFTIME(GETDATE(), '%Y');
--! ODPS-0130071 [1,8] Semantic analysis exception - function STRFTIME is not supported by the local cloud

SELECT mc_substr('abc', 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function mc_substr is not supported by the local cloud

SELECT py_multiply('1', '2', 0);
--! ODPS-0130071 [1,8] Semantic analysis exception - function py_multiply is not supported by the local cloud

SELECT * FROM duckdb_tables();
--! ODPS-0130161 [1,1] Parse exception - table function DUCKDB_TABLES() is not supported

SELECT * FROM information_schema.tables;
--! ODPS-0420111 Project not found - 'information_schema'.

SELECT * FROM 'x.csv';
--! ODPS-0130131 [1,15] Table not found - table p.x.csv cannot be resolved

-- refused: other clauses
SELECT * FROM people TABLESAMPLE (10 PERCENT);
--! ODPS-0130161 [1,1] Parse exception - TABLESAMPLE is not supported here by the local cloud

SELECT TRANSFORM (name) USING 'cat' FROM people;
--! ODPS-0130161 [1,19] Parse exception - QUERYTRANSFORM (TRANSFORM(name) USING 'cat') is not supported by the local cloud

SELECT * FROM people PIVOT (SUM(age) FOR name IN ('ann'));
--! ODPS-0130161 [1,1] Parse exception - PIVOT is not supported here by the local cloud

SELECT name FROM people FOR UPDATE;
--! ODPS-0130161 [1,1] Parse exception - LOCKS is not supported here by the local cloud

SELECT TOP 1 name FROM people;
--! ODPS-0130161 [1,12] Parse exception - Invalid expression / Unexpected token near '1'
