-- page: Operators

SELECT 1 / 2, 6 / 3, 7 DIV 2, 7 % 2, 2 * 3, 5 - 7;

SELECT 1 / 2, 6 / 3, 7 DIV 2, 7 % 2;

SELECT -7 DIV 2, -7 % 3, 7 % -3, 7.5 % 2;

SELECT NULL + 1, 1 / NULL, NULL % 2, -NULL;

SELECT 10 / 4 * 2, 2 + 3 * 4, (2 + 3) * 4, 10 - 2 - 3, 2 * -3;

-- unverified: division by zero is NULL
SELECT 1 / 0, 1 DIV 0, 1 % 0, 1.5 / 0, 0.0 / 0;

-- page: Operators (overflow is an error)
SELECT 9223372036854775807 + 1;

SELECT 9223372036854775807 * 2;

SELECT -9223372036854775807 - 2;

SELECT SUM(n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1) t;

SELECT 2000000000 * 3;

-- unverified: arithmetic of INT is INT
SET odps.sql.type.system.odps2=true; SELECT 1 + 1, 1 + 1L, 1S + 1Y, 1 / 2;

SET odps.sql.type.system.odps2=true; SELECT 2147483647 + 1;

-- page: Operators (logical)
SELECT true AND NULL, false AND NULL, true OR NULL, false OR NULL, NOT NULL, true AND false OR true;

SELECT NULL = NULL, NULL <=> NULL, 1 <=> NULL, 1 <=> 1, NULL <> 1, 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL;

SELECT NULL IS NULL, 1 IS NOT NULL, true IS TRUE, NULL IS NOT TRUE;

SELECT 1 = 1.0, 'a' = 'A', 'a' <> 'b', 'a' < 'b', 'B' < 'a', '' < 'a', 'a ' = 'a', 'é' > 'z', 1 != 2, 2 >= 2;

-- page: Operators (bitwise)
SELECT 5 & 3, 5 | 3, 5 ^ 3, ~5;

SELECT 1.5 & 1;

SELECT 'a' || 'b', 'a' || 1, 'a' || NULL;

-- page: LIKE usage, RLIKE usage
SELECT 'abc' LIKE 'a%', 'abc' LIKE 'a_c', 'abc' LIKE 'A%', 'a%c' LIKE 'a\\%c', 'abc' LIKE 'a\\%c', 'a_c' LIKE 'a\_c', 'abc' LIKE 'a\_c', 'abc' NOT LIKE 'b%', NULL LIKE 'a', 'a' LIKE NULL;

SELECT 'a\nb' LIKE 'a_b', '' LIKE '', '' LIKE '%', 'a\\b' LIKE 'a\\\\b';

SELECT 'a' LIKE 'a\\';

SELECT 'abc' RLIKE '^a', 'abc' RLIKE 'b', 'abc' RLIKE '^b$', 'a1' RLIKE '\\d', 'a.c' RLIKE 'a\\.c', NULL RLIKE 'a', 'abc' NOT RLIKE 'z', 'x1' REGEXP '[[:digit:]]';

SELECT 'abc' RLIKE '';

SELECT 'abc' RLIKE '(';

-- page: CASE WHEN expression
SELECT CASE WHEN NULL THEN 1 WHEN false THEN 2 END, CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END, CASE NULL WHEN NULL THEN 'n' ELSE 'e' END;
