-- page: SUBSTR (start 0 is an empty string in the editions 1.0 and 2.0)

SELECT SUBSTR('abc', 2), SUBSTR('abc', 2, 1), SUBSTR('abc', -2, 2), SUBSTR('abc', 0), SUBSTR('abc', -4), SUBSTR('abc', 1, 0), SUBSTR('abc', 2, -1), SUBSTR('abc', 9), SUBSTR('abc', 2, 99);

SELECT SUBSTR(NULL, 1), SUBSTR('abc', NULL), SUBSTR('abc', 1, NULL), SUBSTR(12345, 2, 3), SUBSTR('中文字', 2, 1);

-- page: SUBSTRING
SELECT SUBSTRING('abc', 2), SUBSTRING('abc', -3, 2);

-- page: INSTR
SELECT INSTR('Tech on the net', 'e'), INSTR('Tech on the net', 'on'), INSTR('abc', ''), INSTR('abc', 'z'), INSTR('Tech on the net', NULL), INSTR('Tech on the net', 'e', 3);

SELECT INSTR('abcabc', 'c', 4), INSTR('abc', 'c', 4), INSTR('中文字', '字');

-- refused: INSTR from the end, and the nth match
SELECT INSTR('abc', 'c', -1);

SELECT INSTR('Tech on the net', 'e', 3, 2);

-- page: LOCATE
SELECT LOCATE('ab', 'abchelloabc'), LOCATE('hi', 'hanmeimei'), LOCATE('ab', 'abhiab', 2);

-- page: CONCAT
SELECT CONCAT('aabc', 'abcde'), CONCAT('a', 1, 2.5), CONCAT('aabc', NULL), CONCAT('a');

-- page: CONCAT_WS (NULL values are left out)
SELECT CONCAT_WS(':', 'name', 'hanmeimei'), CONCAT_WS(':', 'avg', NULL, '34'), CONCAT_WS(NULL, 'a', 'b'), CONCAT_WS(':', ARRAY('name', 'lilei')), CONCAT_WS(',', ARRAY('a', NULL, 'b')), CONCAT_WS(',', 'a', 1);

-- page: LENGTH, LENGTHB
SELECT LENGTH('hi! 中国'), LENGTHB('hi! 中国'), LENGTH(''), LENGTH(NULL), CHAR_LENGTH('abc');

-- page: TOLOWER, TOUPPER, LOWER, UPPER
SELECT TOLOWER('aBcd'), TOUPPER('aBcd'), LOWER('ABC中文'), UPPER('abc'), LCASE('A'), UCASE('a'), LOWER(NULL);

-- page: TRIM, LTRIM, RTRIM
SELECT TRIM(' a b '), LTRIM('  a '), RTRIM(' a  '), TRIM('xxaxx', 'x'), LTRIM('yxTxyom', 'xy'), RTRIM('yxTxyomxx', 'xy'), TRIM(NULL), LENGTH(TRIM('\ta'));

-- page: LPAD, RPAD
SELECT LPAD('abcdefgh', 10, '12'), LPAD('abcdefgh', 5, '12'), LPAD('abcdefgh', 0, '12'), LPAD('abcdefgh', 0, NULL), RPAD('abcdefgh', 10, '12'), RPAD('abcdefgh', 5, '12'), RPAD('a', -1, 'b');

-- page: REVERSE, REPEAT, SPACE, REPLACE, TRANSLATE
SELECT REVERSE('abcdef'), REPEAT('abc', 3), REPEAT('abc', 0), LENGTH(SPACE(3)), REPLACE('ababab', 'abab', 'ab'), REPLACE('abc', '', 'x'), TRANSLATE('MaxComputer', 'puter', 'p'), TRANSLATE('aaa', 'b', 'c');

-- page: ASCII, CHR
SELECT ASCII('abcde'), ASCII(''), CHR(100), CHR(65);

SELECT ASCII('中');

-- page: MD5, SHA, SHA1, SHA2
SELECT MD5('ABC'), SHA('ABC'), SHA1('ABC'), SHA2('ABC', 256);

SELECT SHA2('ABC', 512);

-- page: BASE64, UNBASE64
SELECT BASE64(CAST('alibaba' AS BINARY)), UNBASE64('YWxpYmFiYQ=='), TO_BASE64(CAST('a' AS BINARY));

-- page: SPLIT_PART
SELECT SPLIT_PART('aa,bb,cc,dd', ',', 1), SPLIT_PART('aa,bb,cc,dd', ',', 5), SPLIT_PART('aa,bb', '|', 1), SPLIT_PART(NULL, ',', 1);

SELECT SPLIT_PART('a,b', ',', 0);

-- refused: SPLIT_PART over a range of parts
SELECT SPLIT_PART('aa,bb,cc,dd', ',', 1, 2);

-- page: SPLIT (empty strings at the end go by default)
SELECT SPLIT('a, b, c', ','), SPLIT('a,,b', ','), SPLIT('a,b,c,,', ','), SPLIT('a,b,c,,', ',', false), SPLIT('a::b::c', '::'), SPLIT(',,,', ','), SPLIT('a,b', ':'), SPLIT(NULL, ',');

SELECT SPLIT('a1b22c', '[0-9]+'), SPLIT('a.b', '\\.'), SPLIT('a|b', '\\|'), SPLIT('a\tb', '\t'), SIZE(SPLIT('a,b,c', ',')), SPLIT('a,b', ',')[1];

-- page: STARTS_WITH, ENDS_WITH
SELECT STARTSWITH('abc', 'ab'), STARTS_WITH('abc', 'b'), ENDSWITH('abc', 'bc'), ENDS_WITH('abc', 'a');

-- page: REGEXP_EXTRACT
SELECT REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)'), REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)', 0), REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)', 2), REGEXP_EXTRACT('8d99d8', '8d(\\d+)d8'), REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)'), REGEXP_EXTRACT(NULL, '(a)');

SELECT REGEXP_EXTRACT('abc', 'b');

SELECT REGEXP_EXTRACT('abc', '');

SELECT REGEXP_EXTRACT('abc', '(b)', -1);

-- unverified: REGEXP_EXTRACT without a match is an empty string
SELECT REGEXP_EXTRACT('abc', '(z)');

-- page: REGEXP_REPLACE
SELECT REGEXP_REPLACE('abcd', 'a', 'A', 0), REGEXP_REPLACE('abcd', 'a', '', 0), REGEXP_REPLACE('1970-01-01', '-', '', 0), REGEXP_REPLACE('a1b2c3', '[0-9]', '', 0), REGEXP_REPLACE('123.456.7890', '([[:digit:]]{3})\\.([[:digit:]]{3})\\.([[:digit:]]{4})', '(\\1)\\2-\\3', 0), REGEXP_REPLACE('abcd', '(.)', '\\1 ', 0), REGEXP_REPLACE('abcd', '(.)', '\\1 ', 1), REGEXP_REPLACE('aaa', 'a', 'b');

SELECT REGEXP_REPLACE('abc', '', 'x');

SELECT REGEXP_REPLACE(NULL, 'a', 'b'), REGEXP_REPLACE('abc', 'b', NULL), REGEXP_REPLACE('a', '(a)', '\\0!');

-- refused: REGEXP_REPLACE of the nth match
SELECT REGEXP_REPLACE('a1b2c3', '[0-9]', '', 3);

-- page: REGEXP_COUNT, REGEXP_INSTR, REGEXP_SUBSTR
SELECT REGEXP_COUNT('ababcde', 'a.c'), REGEXP_COUNT('ababcde', '[[:alpha:]]{2}'), REGEXP_COUNT('abab', 'z'), REGEXP_COUNT('aaaa', 'aa');

SELECT REGEXP_INSTR('i love www.taobao.com', 'o[[:alpha:]]{1}'), REGEXP_INSTR('abc', 'z'), REGEXP_INSTR('中文abc', 'b');

SELECT REGEXP_SUBSTR('I love aliyun very much', 'a[[:alpha:]]{5}'), REGEXP_SUBSTR('abc', 'z'), REGEXP_SUBSTR(NULL, 'a');

-- page: GET_JSON_OBJECT
SELECT GET_JSON_OBJECT('{"array":[["a",11],["b",22],["c",33]]}', '$.array[1][1]'), GET_JSON_OBJECT('{"a":"b","c":{"h":["h00","h11","h22"]},"i":"j"}', '$.c.h[1]'), GET_JSON_OBJECT('{"a":1, "b":2}', '$.c');

SELECT GET_JSON_OBJECT('{"a":{"b":1,"c":true,"d":1.50,"e":null}}', '$.a.b'), GET_JSON_OBJECT('{"a":{"c":true}}', '$.a.c'), GET_JSON_OBJECT('{"a":{"e":null}}', '$.a.e'), GET_JSON_OBJECT('{"a":1}', '$.a.b'), GET_JSON_OBJECT('{"a":[1,2]}', '$.a[5]');

SELECT GET_JSON_OBJECT('not json', '$.a'), GET_JSON_OBJECT('', '$.a'), GET_JSON_OBJECT(NULL, '$.a'), GET_JSON_OBJECT('{"中":"文"}', '$.中'), GET_JSON_OBJECT('{"a":"x\\"y"}', '$.a'), GET_JSON_OBJECT('{"a":"\\u4e2d"}', '$.a'), GET_JSON_OBJECT('[1,2]', '$[1]');

-- unverified: objects and arrays come out without blanks
SELECT GET_JSON_OBJECT('{"a": {"b": [1, 2]}}', '$.a'), GET_JSON_OBJECT('{"a": 1}', '$');

-- refused: wildcards, quoted names and paths that are no constants
SELECT GET_JSON_OBJECT('{"a":[1,2]}', '$.a[*]');

SELECT GET_JSON_OBJECT('{"a":1}', "$['a']");

SELECT GET_JSON_OBJECT('{"a":1}', CONCAT('$.', 'a'));

-- page: JSON_TUPLE
SELECT JSON_TUPLE('{"a":1,"b":"x","c":{"d":2}}', 'a', 'b', 'c', 'z') AS (a, b, c, z);

SELECT o.id, j.x, j.y FROM (SELECT 1 AS id, '{"x":1,"y":"b"}' AS js) o LATERAL VIEW JSON_TUPLE(o.js, 'x', 'y') j AS x, y;
