-- page: SELECT syntax
SELECT * FROM days WHERE ds = '20261120';

SELECT d.*, 1 AS one FROM days d WHERE n = 1;

SELECT * EXCEPT (n) FROM days WHERE n = 3;

SELECT p.days.n, days.ds FROM p.days WHERE days.n = 1;

SELECT DISTINCT age FROM people ORDER BY age;

SELECT DISTINCT age, member FROM people WHERE age = 25 ORDER BY member;

SELECT ALL age FROM people WHERE age = 30;

SELECT nope FROM people;

SELECT x.name FROM people p;

SELECT * FROM nowhere;

SELECT *;

SELECT `(ds)?+.+` FROM days;

-- page: ORDER BY (NULL is the smallest value)
SELECT name FROM people ORDER BY name LIMIT 2;

SELECT name FROM people ORDER BY name DESC LIMIT 4;

SELECT name FROM people ORDER BY name NULLS LAST LIMIT 4;

SELECT name FROM people ORDER BY name DESC NULLS FIRST LIMIT 1;

SELECT name AS n, age FROM people ORDER BY age DESC, n LIMIT 4;

SELECT -age AS age FROM people WHERE age > 0 ORDER BY age LIMIT 2;

SELECT name FROM people WHERE age > 0 ORDER BY height LIMIT 2;

SET hive.orderby.position.alias=true; SELECT name, age FROM people WHERE age > 0 ORDER BY 2, 1 LIMIT 3;

SET hive.orderby.position.alias=true; SELECT name FROM people ORDER BY 2 LIMIT 3;

SET odps.sql.validate.orderby.limit=true; SELECT name FROM people ORDER BY name;

-- page: LIMIT
SELECT name FROM people ORDER BY name LIMIT 2 OFFSET 1;

SELECT name FROM people ORDER BY name LIMIT 1, 2;

SELECT name FROM people LIMIT 0;

SELECT name FROM people LIMIT -1;

-- page: DISTRIBUTE BY, SORT BY (they do not change which rows come out)
SELECT COUNT(*) FROM (SELECT name FROM people DISTRIBUTE BY age SORT BY name) t;

SELECT COUNT(*) FROM (SELECT name FROM people CLUSTER BY age) t;

-- page: JOIN
SELECT p.name, o.id FROM people p JOIN orders o ON p.name = o.who ORDER BY o.id;

SELECT p.name, o.id FROM people p LEFT JOIN orders o ON p.name = o.who ORDER BY p.name;

SELECT p.name, o.who FROM people p RIGHT OUTER JOIN orders o ON p.name = o.who ORDER BY o.who;

SELECT p.name, o.who FROM people p FULL OUTER JOIN orders o ON p.name = o.who ORDER BY p.name, o.who;

SELECT COUNT(*) FROM people CROSS JOIN orders;

SELECT COUNT(*) FROM people, orders WHERE people.name = orders.who;

SELECT o.id FROM orders o LEFT SEMI JOIN people p ON o.who = p.name ORDER BY o.id;

SELECT o.id FROM orders o LEFT ANTI JOIN people p ON o.who = p.name;

SELECT p.age FROM orders o LEFT SEMI JOIN people p ON o.who = p.name;

SELECT /*+ MAPJOIN(o) */ COUNT(*) FROM people p JOIN orders o ON p.age > o.id;

SELECT a.n, b.n FROM days a JOIN days b ON a.n = b.n + 1 AND a.ds = b.ds;

SELECT * FROM (SELECT 1 AS a, 2 AS b) x JOIN (SELECT 1 AS a, 3 AS c) y USING (a);

SELECT a, x.a, y.a FROM (SELECT 1 AS a) x FULL JOIN (SELECT 2 AS a) y USING (a) ORDER BY a;

SELECT a FROM (SELECT 1 AS a) x JOIN (SELECT 1 AS a) y ON x.a = y.a;

SELECT x.a FROM (SELECT 1 AS a) x JOIN (SELECT '1.0' AS a) y ON x.a = y.a;

SELECT x.a FROM (SELECT NULL AS a) x JOIN (SELECT NULL AS a) y ON x.a = y.a;

SELECT COUNT(*) FROM people p LEFT JOIN orders o;

SELECT 1 FROM people NATURAL JOIN orders;

SELECT x.a, y.b FROM (SELECT 1 AS a) x LEFT JOIN (SELECT 1 AS a, 2 AS b) y ON x.a = y.a AND y.b > 5;

-- page: UNION, INTERSECT, MINUS
SELECT 1 AS n UNION ALL SELECT 1 UNION ALL SELECT 2;

SELECT n FROM (SELECT 1 AS n UNION SELECT 1 UNION SELECT 2) t ORDER BY n;

SELECT 1 AS n INTERSECT SELECT 1;

SELECT n FROM (SELECT 1 AS n UNION ALL SELECT 2) t MINUS SELECT 1;

SELECT 2 AS n EXCEPT SELECT 1;

SELECT 1 AS n UNION ALL SELECT 3 UNION ALL SELECT 2 ORDER BY n DESC LIMIT 2;

(SELECT 1 AS a) UNION ALL (SELECT 2);

SELECT name FROM people WHERE age = 30 UNION ALL SELECT who FROM orders WHERE id = 3;

-- page: Subqueries
SELECT t.total FROM (SELECT SUM(age) AS total FROM people) t;

SELECT name FROM people WHERE age = (SELECT MAX(age) FROM people);

SELECT who FROM orders WHERE who IN (SELECT name FROM people) ORDER BY who;

SELECT who FROM orders WHERE who NOT IN (SELECT name FROM people WHERE name IS NOT NULL);

SELECT who FROM orders WHERE who NOT IN (SELECT name FROM people);

SELECT who FROM orders o WHERE EXISTS (SELECT 1 FROM people p WHERE p.name = o.who AND p.age > 26);

SELECT who FROM orders o WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.name = o.who);

SELECT (SELECT age FROM people WHERE name = 'nobody');

SELECT (SELECT age FROM people);

SELECT (SELECT name, age FROM people);

SELECT 1 IN (SELECT '1'), '2' IN (SELECT 1);

-- page: Common table expressions
WITH a AS (SELECT 1 AS x), b AS (SELECT x + 1 AS y FROM a) SELECT a.x, b.y FROM a CROSS JOIN b;

WITH a AS (SELECT RAND() AS r) SELECT x.r = y.r FROM a x CROSS JOIN a y;

WITH a (one, two) AS (SELECT 1, 2) SELECT two, one FROM a;

WITH people AS (SELECT name FROM people WHERE age = 30) SELECT * FROM people;

WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a;

-- page: VALUES
SELECT * FROM VALUES (1, 'a'), (NULL, 'b') t(n, s);

SELECT a + 1 FROM VALUES (1), (2.5) t(a);

SELECT * FROM VALUES (1), ('a') t(x);

-- page: max_pt
SELECT n FROM days WHERE ds = MAX_PT('days');

SELECT MAX_PT('p.days');

SELECT MAX_PT('people');

-- page: Script mode
@a := SELECT 1 AS x; @b := SELECT x + 1 AS y FROM @a; SELECT y, '@a' FROM @b;

@t := SELECT name, age FROM people WHERE age > 0; SELECT COUNT(*) FROM @t; SELECT MAX(age) FROM @t;

SELECT * FROM @nothing;

-- page: EXPLAIN
EXPLAIN SELECT 1;

-- refused: settings that change the dialect
SET odps.sql.hive.compatible=true; SELECT 1;

SET odps.sql.bigquery.compatible=true; SELECT 1;

-- refused: functions that the local cloud does not know, also those that its engine has
SELECT FOO(1);

SELECT LIST_VALUE(1);

SELECT READ_TEXT('x');

SELECT GETENV('HOME');

SELECT HASH(1);

SELECT MAX_BY(name, age) FROM people;

SELECT STRFTIME(GETDATE(), '%Y');

SELECT TRANSFORM(ARRAY(1), x -> x + 1);

SELECT mc_substr('abc', 1);

SELECT py_multiply('1', '2', 0);

SELECT * FROM duckdb_tables();

SELECT * FROM information_schema.tables;

SELECT * FROM 'x.csv';

-- refused: other clauses
SELECT * FROM people TABLESAMPLE (10 PERCENT);

SELECT TRANSFORM (name) USING 'cat' FROM people;

SELECT * FROM people PIVOT (SUM(age) FOR name IN ('ann'));

SELECT name FROM people FOR UPDATE;

SELECT TOP 1 name FROM people;
