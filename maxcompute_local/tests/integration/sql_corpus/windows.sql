-- recalled: ROW_NUMBER, RANK, DENSE_RANK, PERCENT_RANK, CUME_DIST, NTILE
SELECT n, ROW_NUMBER() OVER (ORDER BY n), RANK() OVER (ORDER BY n), DENSE_RANK() OVER (ORDER BY n), PERCENT_RANK() OVER (ORDER BY n), CUME_DIST() OVER (ORDER BY n), NTILE(2) OVER (ORDER BY n) FROM VALUES (1), (2), (2), (3) t(n) ORDER BY n;
--: bigint, bigint, bigint, bigint, double, double, bigint
--> 1 | 1 | 1 | 1 | 0.0 | 0.25 | 1
--> 2 | 2 | 2 | 2 | 0.3333333333333333 | 0.75 | 1
--> 2 | 3 | 2 | 2 | 0.3333333333333333 | 0.75 | 2
--> 3 | 4 | 4 | 3 | 1.0 | 1.0 | 2

SELECT k, n, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC) AS r FROM VALUES ('a', 1), ('a', 2), ('b', 3) t(k, n) ORDER BY k, n;
--: string, bigint, bigint
--> 'a' | 1 | 2
--> 'a' | 2 | 1
--> 'b' | 3 | 1

SELECT n, NTILE(3) OVER (ORDER BY n) FROM VALUES (1), (2), (3), (4) t(n) ORDER BY n;
--: bigint, bigint
--> 1 | 1
--> 2 | 1
--> 3 | 2
--> 4 | 3

-- recalled: LAG, LEAD
SELECT n, LAG(n) OVER (ORDER BY n), LEAD(n) OVER (ORDER BY n), LAG(n, 2) OVER (ORDER BY n), LAG(n, 1, 0) OVER (ORDER BY n), LEAD(n, 1, -1) OVER (ORDER BY n) FROM VALUES (1), (2), (3) t(n) ORDER BY n;
--: bigint, bigint, bigint, bigint, bigint, bigint
--> 1 | NULL | 2 | NULL | 0 | 2
--> 2 | 1 | 3 | NULL | 1 | 3
--> 3 | 2 | NULL | 1 | 2 | -1

SELECT n, LAG(n, -1) OVER (ORDER BY n) FROM VALUES (1) t(n);
--! ODPS-0130071 [1,11] Semantic analysis exception - function LAG: the offset must be a BIGINT that is not negative

SELECT LAG(age, true) OVER (ORDER BY age) FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function LAG: the offset must be a BIGINT that is not negative

-- recalled: FIRST_VALUE, LAST_VALUE, NTH_VALUE
SELECT n, FIRST_VALUE(n) OVER (ORDER BY n), FIRST_VALUE(n, true) OVER (ORDER BY n), LAST_VALUE(n) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING), NTH_VALUE(n, 2) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM VALUES (NULL), (2), (3) t(n) ORDER BY n;
--: bigint, bigint, bigint, bigint, bigint
--> NULL | NULL | NULL | 3 | 2
--> 2 | NULL | 2 | 3 | 2
--> 3 | NULL | 2 | 3 | 2

-- unverified: the default frame of SUM and the like with ORDER BY ends at the current row, not at its peers
SELECT n, SUM(n) OVER (ORDER BY n), COUNT(*) OVER (ORDER BY n), AVG(n) OVER (ORDER BY n), MAX(n) OVER (ORDER BY n), MIN(n) OVER (ORDER BY n DESC) FROM VALUES (1), (2), (3) t(n) ORDER BY n;
--: bigint, bigint, bigint, double, bigint, bigint
--> 1 | 1 | 1 | 1.0 | 1 | 1
--> 2 | 3 | 2 | 1.5 | 2 | 2
--> 3 | 6 | 3 | 2.0 | 3 | 3

SELECT SUM(n) OVER (ORDER BY k) AS s FROM VALUES (1, 1), (1, 1), (1, 1) t(k, n) ORDER BY s;
--: bigint
--> 1
--> 2
--> 3

-- recalled: Window functions
SELECT k, n, SUM(n) OVER (PARTITION BY k), COUNT(*) OVER (), SUM(1) OVER (PARTITION BY k ORDER BY n) FROM VALUES ('a', 1), ('a', 2), ('b', 3) t(k, n) ORDER BY k, n;
--: string, bigint, bigint, bigint, bigint
--> 'a' | 1 | 3 | 3 | 1
--> 'a' | 2 | 3 | 3 | 2
--> 'b' | 3 | 3 | 3 | 1

SELECT n, SUM(n) OVER (ORDER BY n ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), SUM(n) OVER (ORDER BY n ROWS 1 PRECEDING), SUM(n) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING), SUM(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING) FROM VALUES (1), (2), (4) t(n) ORDER BY n;
--: bigint, bigint, bigint, bigint, bigint
--> 1 | 1 | 1 | 7 | 3
--> 2 | 3 | 3 | 6 | 3
--> 4 | 6 | 6 | 4 | 4

SELECT n, ROW_NUMBER() OVER w AS r, SUM(n) OVER w AS s FROM VALUES (1), (2) t(n) WINDOW w AS (ORDER BY n) ORDER BY n;
--: bigint, bigint, bigint
--> 1 | 1 | 1
--> 2 | 2 | 3

SELECT n, ROW_NUMBER() OVER (ORDER BY n) AS up, ROW_NUMBER() OVER (ORDER BY n DESC) AS down, ROW_NUMBER() OVER (ORDER BY n NULLS LAST) AS last FROM VALUES (1), (NULL) t(n) ORDER BY n;
--: bigint, bigint, bigint, bigint
--> NULL | 1 | 2 | 2
--> 1 | 2 | 1 | 1

SELECT k, SUM(SUM(n)) OVER (ORDER BY k) FROM VALUES ('a', 1), ('b', 2) t(k, n) GROUP BY k ORDER BY k;
--: string, bigint
--> 'a' | 1
--> 'b' | 3

-- recalled: QUALIFY
SELECT k, n FROM VALUES ('a', 1), ('a', 2), ('b', 3) t(k, n) QUALIFY ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC) = 1 ORDER BY k;
--: string, bigint
--> 'a' | 2
--> 'b' | 3

SELECT ROW_NUMBER() FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function ROW_NUMBER needs OVER (...)

SELECT UPPER(name) OVER () FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - function UPPER takes no OVER (...)

SELECT name FROM people WHERE ROW_NUMBER() OVER (ORDER BY name) = 1;
--! ODPS-0130071 [1,1] Semantic analysis exception - Binder Error: WHERE clause cannot contain window functions!

SELECT SUM(age) OVER nowhere FROM people;
--! ODPS-0130071 [1,8] Semantic analysis exception - window nowhere cannot be resolved
