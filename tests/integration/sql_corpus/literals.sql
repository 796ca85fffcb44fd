-- page: Data type editions (constants)

SELECT 1, -1, 1L, 1.5, 1e3, true, false, NULL;

SELECT 1, 3000000000, 1L, 1.5, 1.5BD, NULL;

SELECT 9223372036854775808;

SET odps.sql.type.system.odps2=true; SELECT 1, 3000000000, 1L, 1S, 1Y, 1.5F, 1.5D, 1.5BD;

SELECT DATE '2026-11-20', DATETIME '2026-11-20 01:02:03';

SELECT "double", 'single', 'it\'s', "say \"hi\"", 'a' 'b';

SELECT LENGTH('\t'), LENGTH('\n'), LENGTH('\\'), '\u4e2d', '\;', '\"', ASCII('\001');

-- unverified: escape sequences that no page names are refused
SELECT '\d';

-- page: Escape characters
SELECT 'semi;colon -- no comment /* none */';

SELECT /* a ; comment */ 1 -- and ; another
;

SELECT 1 AS `select`, 2 AS `A b`;

SELECT Name, NAME, p.aGe FROM People P WHERE NAME = 'ann';

-- page: SELECT syntax (columns without a name are _c0, _c1)
CREATE TABLE named_by_position AS SELECT 1, name, age + 1 FROM people WHERE age > 25; SELECT _c0, name, _c2 FROM named_by_position;

-- refused: raw strings and binary constants
SELECT r'\d';

SELECT X'616263';

-- refused: intervals
SELECT INTERVAL '1' DAY;

SELECT 1 AS a; SELECT 2 AS b;

SELECT 'unclosed;

SELECT 1 +;

SELEC 1;
