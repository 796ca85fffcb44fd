-- page: COALESCE, NVL, IFNULL, NVL2, NULLIF, ISNULL
SELECT COALESCE(NULL, NULL, 3), COALESCE(NULL, 'a', 'b'), COALESCE(NULL), NVL(NULL, 2), NVL('a', 'b'), NVL2(NULL, 'a', 'b'), NVL2(1, 'a', 'b'), NULLIF(2, 3), NULLIF(2, 2), IFNULL(NULL, 1), ISNULL(NULL), ISNOTNULL(NULL);

SELECT COALESCE(age, -1), NVL(name, '-') FROM people ORDER BY NVL(name, '-');

SELECT COALESCE(1, 2.5), COALESCE(NULL, 1);

-- refused: COALESCE and NVL of strings and numbers
SELECT COALESCE(1, 'a');

SELECT NVL(1, 'a');

-- page: IF
SELECT IF(100 = 200, 100, 200), IF(NULL, 1, 2), IF(true, 1, NULL), IF(false, 1, 'a'), IF(1 > 0, 1, 2.5);

-- page: DECODE (NULL matches NULL)
SELECT DECODE(2, 1, 'Taobao', 2, 'Alipay', 3, 'Aliyun', NULL, 'N/A', 'Others'), DECODE(NULL, 1, 'Taobao', NULL, 'N/A', 'Others'), DECODE(9, 1, 'Taobao', 'Others'), DECODE(9, 1, 'Taobao', 2, 'x');

-- page: GREATEST (NULL is the smallest value)
SELECT GREATEST(2.5, 5, 3.14BD, '9.9'), GREATEST(1, 3, 2), GREATEST(1, NULL), GREATEST(NULL, NULL), GREATEST('a', 'b'), GREATEST(DATETIME '2025-09-01 00:00:00', '2025-10-01 12:00:00'), GREATEST(1, 2.5, '3');

-- page: LEAST
SELECT LEAST(5, 2, 7), LEAST('a', 'b'), LEAST(1, 2.5), LEAST(DATE '2025-01-01', DATE '2024-01-01');

-- unverified: LEAST with a NULL is NULL, as NULL is the smallest value
SELECT LEAST(1, NULL);

SELECT GREATEST(true, false);

SELECT GREATEST(1, DATETIME '2025-09-01 00:00:00');

-- page: UUID, RAND
SELECT LENGTH(UUID()), RAND() BETWEEN 0 AND 1, UUID() = UUID();

-- refused: RAND with a seed
SELECT RAND(1);
