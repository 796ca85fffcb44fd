-- page: COUNT
SELECT COUNT(*), COUNT(1), COUNT(age), COUNT(DISTINCT age), COUNT(DISTINCT name, age), COUNT(DISTINCT member) FROM people;

-- page: SUM, AVG, MAX, MIN
SELECT SUM(age), AVG(age), MAX(age), MIN(age), SUM(height), MAX(name), MIN(born) FROM people;

SELECT COUNT(*), SUM(age), AVG(age), MAX(age), MIN(name) FROM people WHERE false;

SELECT SUM(DISTINCT age), AVG(DISTINCT age) FROM people;

SELECT SUM('1.5'), AVG('2'), SUM(1), SUM(1.5);

SELECT SUM(member) FROM people;

SELECT MAX(member) FROM people;

SELECT SUM(name) FROM people;

-- page: STDDEV, STDDEV_SAMP, VARIANCE, VAR_SAMP, MEDIAN, PERCENTILE, COVAR_POP, COVAR_SAMP, CORR
SELECT STDDEV(n), STDDEV_POP(n), STDDEV_SAMP(n), VARIANCE(n), VAR_POP(n), VAR_SAMP(n), MEDIAN(n), PERCENTILE(n, 0.5) FROM (SELECT 1 AS n UNION ALL SELECT 3) t;

SELECT COVAR_POP(x, y), COVAR_SAMP(x, y), CORR(x, y) FROM VALUES (1, 2), (2, 4), (3, 6) t(x, y);

-- page: WM_CONCAT
SELECT WM_CONCAT(',', name) FROM (SELECT 'a' AS name UNION ALL SELECT NULL UNION ALL SELECT 'a') t;

SELECT WM_CONCAT('-', name) WITHIN GROUP (ORDER BY name DESC), WM_CONCAT(DISTINCT ',', age) FROM people;

SELECT WM_CONCAT(',', name) FROM people WHERE false;

SELECT WM_CONCAT(name, ',') FROM people;

-- page: ANY_VALUE, COUNT_IF
SELECT ANY_VALUE(n), COUNT_IF(n = 1) FROM (SELECT 1 AS n UNION ALL SELECT 1) t;

-- page: GROUP BY
SELECT age, COUNT(*) FROM people GROUP BY age ORDER BY age;

SELECT age + 1 AS next, COUNT(*) AS n FROM people GROUP BY age + 1 ORDER BY next;

SELECT age + 1 AS next, COUNT(*) AS n FROM people GROUP BY next ORDER BY next;

SELECT age % 2 AS age, COUNT(*) AS n FROM people GROUP BY age ORDER BY age, n;

SET hive.groupby.position.alias=true; SELECT member, COUNT(*) AS n FROM people GROUP BY 1 ORDER BY member;

SELECT member, COUNT(*) AS n FROM people GROUP BY 1;

SELECT COUNT(*) FROM people GROUP BY 1;

SELECT name, age FROM people GROUP BY name;

SELECT * FROM people GROUP BY name;

SELECT name FROM people WHERE COUNT(*) > 1;

SELECT SUM(COUNT(*)) FROM people;

-- page: HAVING
SELECT age, COUNT(*) AS n FROM people GROUP BY age HAVING COUNT(*) > 1;

SELECT age, COUNT(*) AS n FROM people GROUP BY age HAVING n > 1;

SELECT COUNT(*) AS n FROM people HAVING COUNT(*) > 100;

-- refused: GROUPING SETS, CUBE, ROLLUP
SELECT age, COUNT(*) FROM people GROUP BY age GROUPING SETS ((age), ());

SELECT age, COUNT(*) FROM people GROUP BY ROLLUP(age);

SELECT age, COUNT(*) FROM people GROUP BY age WITH CUBE;

-- refused: approximate counts, FILTER
SELECT APPROX_DISTINCT(age) FROM people;

SELECT COUNT(*) FILTER (WHERE age > 1) FROM people;
