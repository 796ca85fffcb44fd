-- page: Operators

SELECT 1 / 2, 6 / 3, 7 DIV 2, 7 % 2, 2 * 3, 5 - 7;
--: double, double, bigint, bigint, bigint, bigint
--> 0.5 | 2.0 | 3 | 1 | 6 | -2

SELECT 1 / 2, 6 / 3, 7 DIV 2, 7 % 2;
--: double, double, bigint, bigint
--> 0.5 | 2.0 | 3 | 1

SELECT -7 DIV 2, -7 % 3, 7 % -3, 7.5 % 2;
--: bigint, bigint, bigint, double
--> -3 | -1 | 1 | 1.5

SELECT NULL + 1, 1 / NULL, NULL % 2, -NULL;
--: bigint, double, bigint, double
--> NULL | NULL | NULL | NULL

SELECT 10 / 4 * 2, 2 + 3 * 4, (2 + 3) * 4, 10 - 2 - 3, 2 * -3;
--: double, bigint, bigint, bigint, bigint
--> 5.0 | 14 | 20 | 5 | -6

-- unverified: division by zero is NULL
SELECT 1 / 0, 1 DIV 0, 1 % 0, 1.5 / 0, 0.0 / 0;
--: double, bigint, bigint, double, double
--> NULL | NULL | NULL | NULL | NULL

-- recalled: Operators (overflow is an error)
SELECT 9223372036854775807 + 1;
--! ODPS-0121095 Invalid arguments - Out of Range Error: Overflow in addition of INT64 (9223372036854775807 + 1)!

SELECT 9223372036854775807 * 2;
--! ODPS-0121095 Invalid arguments - Out of Range Error: Overflow in multiplication of INT64 (9223372036854775807 * 2)!

SELECT -9223372036854775807 - 2;
--! ODPS-0121095 Invalid arguments - Out of Range Error: Overflow in subtraction of INT64 (-9223372036854775807 - 2)!

SELECT SUM(n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1) t;
--! ODPS-0121095 Invalid arguments - BIGINT overflow: 9223372036854775808

SELECT 2000000000 * 3;
--: bigint
--> 6000000000

-- unverified: arithmetic of INT is INT
SET odps.sql.type.system.odps2=true; SELECT 1 + 1, 1 + 1L, 1S + 1Y, 1 / 2;
--: int, bigint, smallint, double
--> 2 | 2 | 2 | 0.5

SET odps.sql.type.system.odps2=true; SELECT 2147483647 + 1;
--! ODPS-0121095 Invalid arguments - Out of Range Error: Overflow in addition of INT32 (2147483647 + 1)!

-- page: Operators (logical)
SELECT true AND NULL, false AND NULL, true OR NULL, false OR NULL, NOT NULL, true AND false OR true;
--: boolean, boolean, boolean, boolean, boolean, boolean
--> NULL | false | true | NULL | NULL | true

SELECT NULL = NULL, NULL <=> NULL, 1 <=> NULL, 1 <=> 1, NULL <> 1, 1 IS DISTINCT FROM NULL, NULL IS NOT DISTINCT FROM NULL;
--: boolean, boolean, boolean, boolean, boolean, boolean, boolean
--> NULL | true | false | true | NULL | true | true

SELECT NULL IS NULL, 1 IS NOT NULL, true IS TRUE, NULL IS NOT TRUE;
--: boolean, boolean, boolean, boolean
--> true | true | true | true

SELECT 1 = 1.0, 'a' = 'A', 'a' <> 'b', 'a' < 'b', 'B' < 'a', '' < 'a', 'a ' = 'a', 'é' > 'z', 1 != 2, 2 >= 2;
--: boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean
--> true | false | true | true | true | true | false | true | true | true

-- page: Operators (bitwise)
SELECT 5 & 3, 5 | 3, 5 ^ 3, ~5;
--: bigint, bigint, bigint, bigint
--> 1 | 7 | 6 | -6

SELECT 1.5 & 1;
--! ODPS-0130071 [1,8] Semantic analysis exception - bit operations take integers, not DOUBLE

SELECT 'a' || 'b', 'a' || 1, 'a' || NULL;
--: string, string, string
--> 'ab' | 'a1' | NULL

-- recalled: LIKE usage, RLIKE usage
SELECT 'abc' LIKE 'a%', 'abc' LIKE 'a_c', 'abc' LIKE 'A%', 'a%c' LIKE 'a\\%c', 'abc' LIKE 'a\\%c', 'a_c' LIKE 'a\_c', 'abc' LIKE 'a\_c', 'abc' NOT LIKE 'b%', NULL LIKE 'a', 'a' LIKE NULL;
--: boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean
--> true | true | false | true | false | true | false | true | NULL | NULL

SELECT 'a\nb' LIKE 'a_b', '' LIKE '', '' LIKE '%', 'a\\b' LIKE 'a\\\\b';
--: boolean, boolean, boolean, boolean
--> true | true | true | true

SELECT 'a' LIKE 'a\\';
--! ODPS-0130071 [1,8] Semantic analysis exception - the pattern of LIKE ends in a backslash

SELECT 'abc' RLIKE '^a', 'abc' RLIKE 'b', 'abc' RLIKE '^b$', 'a1' RLIKE '\\d', 'a.c' RLIKE 'a\\.c', NULL RLIKE 'a', 'abc' NOT RLIKE 'z', 'x1' REGEXP '[[:digit:]]';
--: boolean, boolean, boolean, boolean, boolean, boolean, boolean, boolean
--> true | true | false | true | true | NULL | true | true

SELECT 'abc' RLIKE '';
--! ODPS-0130071 [1,8] Semantic analysis exception - the pattern of RLIKE must not be empty

SELECT 'abc' RLIKE '(';
--! ODPS-0121095 Invalid arguments - Invalid Input Error: missing ): (

-- recalled: CASE WHEN expression
SELECT CASE WHEN NULL THEN 1 WHEN false THEN 2 END, CASE 2 WHEN 1 THEN 'a' WHEN 2 THEN 'b' END, CASE NULL WHEN NULL THEN 'n' ELSE 'e' END;
--: bigint, string, string
--> NULL | 'b' | 'e'

-- page: Subqueries (IN and = of rows)
SELECT id FROM orders WHERE (id, who) IN (SELECT 1, 'ann');
--: bigint
--> 1

SELECT id FROM orders o WHERE (id, who) NOT IN (SELECT id, who FROM orders p WHERE p.id < 2) ORDER BY id;
--: bigint
--> 2
--> 3

SELECT (1, 2) IN ((1, 2), (3, 4)), (1, 2) NOT IN ((1, 3)), (1, '2') = (1, 2);
--: boolean, boolean, boolean
--> true | true | true

SELECT id FROM orders WHERE (id, who) IN (SELECT 1);
--! ODPS-0130071 [1,30] Semantic analysis exception - a row of 2 values is compared with one of 1

SELECT (1, 2) IN (1, 2);
--! ODPS-0130071 [1,9] Semantic analysis exception - a row is compared with a row

SELECT (1, 2);
--! ODPS-0130161 [1,9] Parse exception - TUPLE ((1, 2)) is not supported by the local cloud

-- unverified: rows with NULL, as in every SQL
SELECT (1, NULL) IN ((1, 2)), (1, NULL) IN ((2, 2)), (1, NULL) IN (SELECT id, who FROM orders), (9, NULL) IN (SELECT id, who FROM orders), (1, 'ann') IN (SELECT 1, NULL);
--: boolean, boolean, boolean, boolean, boolean
--> NULL | false | NULL | false | NULL
