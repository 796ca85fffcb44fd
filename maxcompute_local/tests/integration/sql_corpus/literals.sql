-- page: Data type editions (constants)

SELECT 1, -1, 1L, 1.5, 1e3, true, false, NULL;
--: bigint, bigint, bigint, double, double, boolean, boolean, string
--> 1 | -1 | 1 | 1.5 | 1000.0 | true | false | NULL

SELECT 1, 3000000000, 1L, 1.5, 1.5BD, NULL;
--: bigint, bigint, bigint, double, decimal(2,1), string
--> 1 | 3000000000 | 1 | 1.5 | 1.5BD | NULL

SELECT 9223372036854775808;
--: double
--> 9.223372036854776e+18

SET odps.sql.type.system.odps2=true; SELECT 1, 3000000000, 1L, 1S, 1Y, 1.5F, 1.5D, 1.5BD;
--: int, bigint, bigint, smallint, tinyint, float, double, decimal(2,1)
--> 1 | 3000000000 | 1 | 1 | 1 | 1.5 | 1.5 | 1.5BD

SELECT DATE '2026-11-20', DATETIME '2026-11-20 01:02:03';
--: date, datetime
--> 2026-11-20 | 2026-11-20 01:02:03

SELECT "double", 'single', 'it\'s', "say \"hi\"", 'a' 'b';
--: string, string, string, string, string
--> 'double' | 'single' | "it's" | 'say "hi"' | 'ab'

SELECT ASCII('\t'), ASCII('\n'), ASCII('\r'), ASCII('\b'), ASCII('\\'), '\u4e2d', '\;', '\"', ASCII('\001');
--: bigint, bigint, bigint, bigint, bigint, string, string, string, bigint
--> 9 | 10 | 13 | 8 | 92 | '中' | ';' | '"' | 1

-- unverified: escape sequences that no page names are refused
SELECT '\d';
--! ODPS-0130161 [1,1] Parse exception - unknown escape sequence \d in a string, write \\d

-- recalled: Escape characters
SELECT 'semi;colon -- no comment /* none */';
--: string
--> 'semi;colon -- no comment /* none */'

SELECT /* a ; comment */ 1 -- and ; another
;
--: bigint
--> 1

SELECT 1 AS `select`, 2 AS `A b`;
--: bigint, bigint
--> 1 | 2

SELECT Name, NAME, p.aGe FROM People P WHERE NAME = 'ann';
--: string, string, bigint
--> 'ann' | 'ann' | 30

-- recalled: SELECT syntax (columns without a name are _c0, _c1)
CREATE TABLE named_by_position AS SELECT 1, name, age + 1 FROM people WHERE age > 25; SELECT _c0, name, _c2 FROM named_by_position;
--: bigint, string, bigint
--> 1 | 'ann' | 31

-- refused: raw strings and binary constants
SELECT r'\d';
--! ODPS-0130161 [1,1] Parse exception - unknown escape sequence \d in a string, write \\d

SELECT X'616263';
--! ODPS-0130161 [1,16] Parse exception - Invalid expression / Unexpected token near ''616263''

-- refused: intervals
SELECT INTERVAL '1' DAY;
--! ODPS-0130161 [1,17] Parse exception - INTERVAL (INTERVAL '1' DAY) is not supported by the local cloud

SELECT 1 AS a; SELECT 2 AS b;
--: bigint
--> 2

SELECT 'unclosed;
--! ODPS-0130161 [1,1] Parse exception - Error tokenizing 'SELECT 'unclose'

SELECT 1 +;
--! ODPS-0130161 [1,10] Parse exception - Required keyword: 'expression' missing for <class 'sqlglot.expressions.core.Add'> near '+'

SELEC 1;
--! ODPS-0130161 [1,1] Parse exception - statement SELEC is not supported by the local cloud
