-- page: SUBSTR (start 0 is an empty string in the editions 1.0 and 2.0)

SELECT SUBSTR('abc', 2), SUBSTR('abc', 2, 1), SUBSTR('abc', -2, 2), SUBSTR('abc', 0), SUBSTR('abc', -4), SUBSTR('abc', 1, 0), SUBSTR('abc', 2, -1), SUBSTR('abc', 9), SUBSTR('abc', 2, 99);
--: string, string, string, string, string, string, string, string, string
--> 'bc' | 'b' | 'bc' | '' | '' | '' | '' | '' | 'bc'

SELECT SUBSTR(NULL, 1), SUBSTR('abc', NULL), SUBSTR('abc', 1, NULL), SUBSTR(12345, 2, 3), SUBSTR('中文字', 2, 1);
--: string, string, string, string, string
--> NULL | NULL | NULL | '234' | '文'

-- page: SUBSTRING
SELECT SUBSTRING('abc', 2), SUBSTRING('abc', -3, 2);
--: string, string
--> 'bc' | 'ab'

-- page: INSTR
SELECT INSTR('Tech on the net', 'e'), INSTR('Tech on the net', 'on'), INSTR('abc', ''), INSTR('abc', 'z'), INSTR('Tech on the net', NULL), INSTR('Tech on the net', 'e', 3);
--: bigint, bigint, bigint, bigint, bigint, bigint
--> 2 | 6 | 1 | 0 | NULL | 11

SELECT INSTR('abcabc', 'c', 4), INSTR('abc', 'c', 4), INSTR('中文字', '字');
--: bigint, bigint, bigint
--> 6 | 0 | 3

SELECT INSTR('Tech on the net', 'e', 1, 2), INSTR('Tech on the net', 'e', 3, 2), INSTR('abcabc', 'c', 1, 3), INSTR(NULL, 'a', 1, 1), INSTR('中文中文', '中', 1, 2);
--: bigint, bigint, bigint, bigint, bigint
--> 11 | 14 | 0 | NULL | 3

SELECT INSTR('abc', 'a', 1, 0);
--! ODPS-0121095 Invalid arguments - the number of the match must be positive

-- refused: INSTR from the end, and matches that overlap
SELECT INSTR('abc', 'c', -1);
--! ODPS-0121095 Invalid arguments - the start position must be positive

SELECT INSTR('aaa', 'aa', 1, 2);
--! ODPS-0130071 [1,8] Semantic analysis exception - function INSTR: counts matches only of texts that cannot overlap themselves in the local cloud

-- recalled: LOCATE
SELECT LOCATE('ab', 'abchelloabc'), LOCATE('hi', 'hanmeimei'), LOCATE('ab', 'abhiab', 2);
--: bigint, bigint, bigint
--> 1 | 0 | 5

-- recalled: CONCAT
SELECT CONCAT('aabc', 'abcde'), CONCAT('a', 1, 2.5), CONCAT('aabc', NULL), CONCAT('a');
--: string, string, string, string
--> 'aabcabcde' | 'a12.5' | NULL | 'a'

-- page: CONCAT_WS (a NULL makes the result NULL; in an ARRAY it is left out, of which the page says nothing)
SELECT CONCAT_WS(':', 'name', 'hanmeimei'), CONCAT_WS(':', 'avg', NULL, '34'), CONCAT_WS(NULL, 'a', 'b'), CONCAT_WS(':', ARRAY('name', 'lilei')), CONCAT_WS(',', ARRAY('a', NULL, 'b')), CONCAT_WS(',', 'a', 1);
--: string, string, string, string, string, string
--> 'name:hanmeimei' | NULL | NULL | 'name:lilei' | 'a,b' | 'a,1'

SELECT CONCAT_WS(sep, ARRAY('a', 'b')), CONCAT_WS(sep, ARRAY()), CONCAT_WS(NULL, ARRAY('a')), CONCAT_WS(',', CAST(NULL AS ARRAY<STRING>)), SPLIT_PART('a,b;c', sep, 1, 2) FROM VALUES (','), (';') t(sep);
--: string, string, string, string, string
--> 'a,b' | '' | NULL | NULL | 'a,b;c'
--> 'a;b' | '' | NULL | NULL | 'a,b;c'

-- recalled: LENGTH, LENGTHB
SELECT LENGTH('hi! 中国'), LENGTHB('hi! 中国'), LENGTH(''), LENGTH(NULL);
--: bigint, bigint, bigint, bigint
--> 6 | 10 | 0 | NULL

-- recalled: TOLOWER, TOUPPER, LOWER, UPPER
SELECT TOLOWER('aBcd'), TOUPPER('aBcd'), LOWER('ABC中文'), UPPER('abc'), LOWER(NULL);
--: string, string, string, string, string
--> 'abcd' | 'ABCD' | 'abc中文' | 'ABC' | NULL

-- recalled: TRIM, LTRIM, RTRIM
SELECT TRIM(' a b '), LTRIM('  a '), RTRIM(' a  '), TRIM('xxaxx', 'x'), LTRIM('yxTxyom', 'xy'), RTRIM('yxTxyomxx', 'xy'), TRIM(NULL), LENGTH(TRIM('\ta'));
--: string, string, string, string, string, string, string, bigint
--> 'a b' | 'a ' | ' a' | 'a' | 'Txyom' | 'yxTxyom' | NULL | 2

-- recalled: LPAD, RPAD
SELECT LPAD('abcdefgh', 10, '12'), LPAD('abcdefgh', 5, '12'), LPAD('abcdefgh', 0, '12'), LPAD('abcdefgh', 0, NULL), RPAD('abcdefgh', 10, '12'), RPAD('abcdefgh', 5, '12'), RPAD('a', -1, 'b');
--: string, string, string, string, string, string, string
--> '12abcdefgh' | 'abcde' | '' | NULL | 'abcdefgh12' | 'abcde' | ''

-- recalled: REVERSE, REPEAT, SPACE, REPLACE, TRANSLATE
SELECT REVERSE('abcdef'), REPEAT('abc', 3), REPEAT('abc', 0), LENGTH(SPACE(3)), REPLACE('ababab', 'abab', 'ab'), REPLACE('abc', '', 'x'), TRANSLATE('MaxComputer', 'puter', 'p'), TRANSLATE('aaa', 'b', 'c');
--: string, string, string, bigint, string, string, string, string
--> 'fedcba' | 'abcabcabc' | '' | 3 | 'abab' | 'abc' | 'MaxComp' | 'aaa'

-- recalled: ASCII, CHR
SELECT ASCII('abcde'), ASCII(''), CHR(100), CHR(65);
--: bigint, bigint, string, string
--> 97 | 0 | 'd' | 'A'

SELECT ASCII('中');
--! ODPS-0121095 Invalid arguments - Invalid Input Error: not an ASCII character

-- recalled: MD5, SHA, SHA1, SHA2
SELECT MD5('ABC'), SHA('ABC'), SHA1('ABC'), SHA2('ABC', 256);
--: string, string, string, string
--> '902fbdd2b1df0c4f70b4a5d23525e932' | '3c01bdbb26f358bab27f267924aa2c9a03fcfdb8' | '3c01bdbb26f358bab27f267924aa2c9a03fcfdb8' | 'b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78'

-- recalled: BASE64, UNBASE64
SELECT BASE64(CAST('alibaba' AS BINARY)), UNBASE64('YWxpYmFiYQ==');
--: string, binary
--> 'YWxpYmFiYQ==' | X'616c6962616261'

-- recalled: SPLIT_PART
SELECT SPLIT_PART('aa,bb,cc,dd', ',', 1), SPLIT_PART('aa,bb,cc,dd', ',', 5), SPLIT_PART('aa,bb', '|', 1), SPLIT_PART(NULL, ',', 1);
--: string, string, string, string
--> 'aa' | '' | 'aa,bb' | NULL

SELECT SPLIT_PART('a,b', ',', 0);
--! ODPS-0121095 Invalid arguments - SPLIT_PART counts from 1

-- page: SPLIT (empty strings at the end go by default)
SELECT SPLIT('a, b, c', ','), SPLIT('a,,b', ','), SPLIT('a,b,c,,', ','), SPLIT('a,b,c,,', ',', false), SPLIT('a::b::c', '::'), SPLIT(',,,', ','), SPLIT('a,b', ':'), SPLIT(NULL, ',');
--: array<string>, array<string>, array<string>, array<string>, array<string>, array<string>, array<string>, array<string>
--> ['a', ' b', ' c'] | ['a', '', 'b'] | ['a', 'b', 'c'] | ['a', 'b', 'c', '', ''] | ['a', 'b', 'c'] | [] | ['a,b'] | NULL

SELECT SPLIT('a1b22c', '[0-9]+'), SPLIT('a.b', '\\.'), SPLIT('a|b', '\\|'), SPLIT('a\tb', '\t'), SIZE(SPLIT('a,b,c', ',')), SPLIT('a,b', ',')[1];
--: array<string>, array<string>, array<string>, array<string>, bigint, string
--> ['a', 'b', 'c'] | ['a', 'b'] | ['a', 'b'] | ['a', 'b'] | 3 | 'b'

-- recalled: STARTSWITH, ENDSWITH
SELECT STARTSWITH('abc', 'ab'), STARTSWITH('abc', 'b'), ENDSWITH('abc', 'bc'), ENDSWITH('abc', 'a');
--: boolean, boolean, boolean, boolean
--> true | false | true | false

-- page: REGEXP_EXTRACT
SELECT REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)'), REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)', 0), REGEXP_EXTRACT('basketball', 'bas(.*?)(ball)', 2), REGEXP_EXTRACT('8d99d8', '8d(\\d+)d8'), REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)'), REGEXP_EXTRACT(NULL, '(a)');
--: string, string, string, string, string, string
--> 'ket' | 'basketball' | 'ball' | '99' | 'the' | NULL

SELECT REGEXP_EXTRACT('abc', 'b');
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_EXTRACT: the pattern 'b' has no group 1

SELECT REGEXP_EXTRACT('abc', '');
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_EXTRACT: the pattern must not be empty

SELECT REGEXP_EXTRACT('abc', '(b)', -1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_EXTRACT: argument 3 must be at least 0

-- unverified: REGEXP_EXTRACT without a match is an empty string
SELECT REGEXP_EXTRACT('abc', '(z)');
--: string
--> ''

-- page: REGEXP_REPLACE
SELECT REGEXP_REPLACE('abcd', 'a', 'A', 0), REGEXP_REPLACE('abcd', 'a', '', 0), REGEXP_REPLACE('1970-01-01', '-', '', 0), REGEXP_REPLACE('a1b2c3', '[0-9]', '', 0), REGEXP_REPLACE('123.456.7890', '([[:digit:]]{3})\\.([[:digit:]]{3})\\.([[:digit:]]{4})', '(\\1)\\2-\\3', 0), REGEXP_REPLACE('abcd', '(.)', '\\1 ', 0), REGEXP_REPLACE('abcd', '(.)', '\\1 ', 1), REGEXP_REPLACE('aaa', 'a', 'b');
--: string, string, string, string, string, string, string, string
--> 'Abcd' | 'bcd' | '19700101' | 'abc' | '(123)456-7890' | 'a b c d ' | 'a bcd' | 'bbb'

SELECT REGEXP_REPLACE('abc', '', 'x');
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_REPLACE: the pattern must not be empty

SELECT REGEXP_REPLACE(NULL, 'a', 'b'), REGEXP_REPLACE('abc', 'b', NULL), REGEXP_REPLACE('abc', 'z', NULL), REGEXP_REPLACE('a', '(a)', '\\0!');
--: string, string, string, string
--> NULL | NULL | 'abc' | 'a!'

-- page: REGEXP_REPLACE (the nth match only)
SELECT REGEXP_REPLACE('a1b2c3', '[0-9]', 'X', 2), REGEXP_REPLACE('a1b2c3', '[0-9]', '', 3), REGEXP_REPLACE('a1b2c3', '[0-9]', 'X', 4), REGEXP_REPLACE(NULL, 'a', 'X', 2), REGEXP_REPLACE('中1文2', '[0-9]', '', 2);
--: string, string, string, string, string
--> 'a1bXc3' | 'a1b2c' | 'a1b2c3' | NULL | '中1文'

-- page: REGEXP_INSTR, REGEXP_SUBSTR (start, nth match, end of the match)
SELECT REGEXP_INSTR('i love www.taobao.com', 'o[[:alpha:]]{1}', 3, 2), REGEXP_INSTR('i love www.taobao.com', 'o[[:alpha:]]{1}', 3, 2, 1), REGEXP_INSTR('i love www.taobao.com', NULL, 3, 2), REGEXP_INSTR('abc', 'x', 1, 1, 1), REGEXP_INSTR('abc', 'c', 1, 2);
--: bigint, bigint, bigint, bigint, bigint
--> 14 | 16 | NULL | 0 | 0

SELECT REGEXP_SUBSTR('I love aliyun very much', 'a[[:alpha:]]{5}'), REGEXP_SUBSTR('I have 2 apples and 100 bucks!', '[[:blank:]][[:alnum:]]*', 1, 1), REGEXP_SUBSTR('I have 2 apples and 100 bucks!', '[[:blank:]][[:alnum:]]*', 1, 2), REGEXP_SUBSTR('ab', 'b', 1, 2);
--: string, string, string, string
--> 'aliyun' | ' have' | ' 2' | NULL

-- recalled: REGEXP_COUNT (from a start)
SELECT REGEXP_COUNT('aaaa', 'a', 2), REGEXP_COUNT('abab', 'a', 4);
--: bigint, bigint
--> 3 | 0

-- refused: references to groups in a later match, anchors behind a start, patterns that match nothing
SELECT REGEXP_REPLACE('a1b2c3', '([0-9])', '<\\1>', 2);
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_REPLACE: replaces a later occurrence by a constant without references only in the local cloud

SELECT REGEXP_INSTR('aab', '^a', 2);
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_INSTR: with a start position takes a constant pattern without ^, \A, \b and \B in the local cloud

SELECT REGEXP_REPLACE('aab', 'x*', '-', 2);
--! ODPS-0121095 Invalid arguments - the local cloud does not count matches of the pattern x*

SELECT REGEXP_SUBSTR('a', 'a', 1, 0);
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_SUBSTR: argument 4 must be at least 1

-- recalled: REGEXP_COUNT, REGEXP_INSTR, REGEXP_SUBSTR
SELECT REGEXP_COUNT('ababcde', 'a.c'), REGEXP_COUNT('ababcde', '[[:alpha:]]{2}'), REGEXP_COUNT('abab', 'z'), REGEXP_COUNT('aaaa', 'aa');
--: bigint, bigint, bigint, bigint
--> 1 | 3 | 0 | 2

SELECT REGEXP_INSTR('i love www.taobao.com', 'o[[:alpha:]]{1}'), REGEXP_INSTR('abc', 'z'), REGEXP_INSTR('中文abc', 'b');
--: bigint, bigint, bigint
--> 4 | 0 | 4

SELECT REGEXP_SUBSTR('I love aliyun very much', 'a[[:alpha:]]{5}'), REGEXP_SUBSTR('abc', 'z'), REGEXP_SUBSTR(NULL, 'a');
--: string, string, string
--> 'aliyun' | NULL | NULL

-- page: GET_JSON_OBJECT
SELECT GET_JSON_OBJECT('{"array":[["a",11],["b",22],["c",33]]}', '$.array[1][1]'), GET_JSON_OBJECT('{"a":"b","c":{"h":["h00","h11","h22"]},"i":"j"}', '$.c.h[1]'), GET_JSON_OBJECT('{"a":1, "b":2}', '$.c');
--: string, string, string
--> '22' | 'h11' | NULL

SELECT GET_JSON_OBJECT('{"a":{"b":1,"c":true,"d":1.50,"e":null}}', '$.a.b'), GET_JSON_OBJECT('{"a":{"c":true}}', '$.a.c'), GET_JSON_OBJECT('{"a":{"e":null}}', '$.a.e'), GET_JSON_OBJECT('{"a":1}', '$.a.b'), GET_JSON_OBJECT('{"a":[1,2]}', '$.a[5]');
--: string, string, string, string, string
--> '1' | 'true' | NULL | NULL | NULL

SELECT GET_JSON_OBJECT('not json', '$.a'), GET_JSON_OBJECT('', '$.a'), GET_JSON_OBJECT(NULL, '$.a'), GET_JSON_OBJECT('{"中":"文"}', '$.中'), GET_JSON_OBJECT('{"a":"x\\"y"}', '$.a'), GET_JSON_OBJECT('{"a":"\\u4e2d"}', '$.a'), GET_JSON_OBJECT('[1,2]', '$[1]');
--: string, string, string, string, string, string, string
--> NULL | NULL | NULL | '文' | 'x"y' | '中' | '2'

-- unverified: objects and arrays come out without blanks
SELECT GET_JSON_OBJECT('{"a": {"b": [1, 2]}}', '$.a'), GET_JSON_OBJECT('{"a": 1}', '$');
--: string, string
--> '{"b":[1,2]}' | '{"a":1}'

-- refused: wildcards, quoted names and paths that are no constants
SELECT GET_JSON_OBJECT('{"a":[1,2]}', '$.a[*]');
--! ODPS-0130071 [1,8] Semantic analysis exception - function GET_JSON_OBJECT: does not know the path '$.a[*]' in the local cloud

SELECT GET_JSON_OBJECT('{"a":1}', "$['a']");
--! ODPS-0130071 [1,8] Semantic analysis exception - function GET_JSON_OBJECT: does not know the path "$['a']" in the local cloud

SELECT GET_JSON_OBJECT('{"a":1}', CONCAT('$.', 'a'));
--! ODPS-0130071 [1,8] Semantic analysis exception - function GET_JSON_OBJECT: argument 2 must be a constant in the local cloud

-- recalled: JSON_TUPLE
SELECT JSON_TUPLE('{"a":1,"b":"x","c":{"d":2}}', 'a', 'b', 'c', 'z') AS (a, b, c, z);
--: string, string, string, string
--> '1' | 'x' | '{"d":2}' | NULL

SELECT o.id, j.x, j.y FROM (SELECT 1 AS id, '{"x":1,"y":"b"}' AS js) o LATERAL VIEW JSON_TUPLE(o.js, 'x', 'y') j AS x, y;
--: bigint, string, string
--> 1 | '1' | 'b'

-- page: TRIM, LTRIM, RTRIM (with FROM)
SELECT TRIM(BOTH 'x' FROM 'xxaxx'), TRIM(LEADING 'xy' FROM 'yxTxyomxx'), TRIM(TRAILING 'x' FROM 'xxaxx'), TRIM('x' FROM 'xax'), TRIM(BOTH FROM ' a '), TRIM(BOTH NULL FROM 'a'), TRIM(BOTH 'x' FROM NULL), TRIM(LEADING '0' FROM 7);
--: string, string, string, string, string, string, string, string
--> 'a' | 'Txyomxx' | 'xxa' | 'a' | 'a' | NULL | NULL | '7'

SELECT TRIM(both), TRIM(t.leading, 'a'), TRIM(both || 'a') FROM (SELECT 'ab' AS both, 'ab' AS leading) t;
--: string, string, string
--> 'ab' | 'b' | 'aba'

SELECT TRIM(LEADING 'x');
--! ODPS-0130161 [1,24] Parse exception - LEADING needs FROM near ')'

SELECT TRIM('a', 'b', 'c');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TRIM: takes 1 to 2 arguments in the local cloud, not 3

SELECT TRIM(BOTH 'x' FROM true);
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of TRIM: cannot convert BOOLEAN to STRING

-- page: URL_ENCODE, URL_DECODE
SELECT URL_ENCODE('示例for url_encode:// (fdsf)'), URL_ENCODE('Example for url_encode :// dsf(fasfs)', 'GBK'), URL_ENCODE('~.-*_中', 'GBK'), URL_ENCODE(NULL), URL_ENCODE('a', NULL);
--: string, string, string, string, string
--> '%E7%A4%BA%E4%BE%8Bfor+url_encode%3A%2F%2F+%28fdsf%29' | 'Example+for+url_encode+%3A%2F%2F+dsf%28fasfs%29' | '%7E.-*_%D6%D0' | NULL | NULL

SELECT URL_DECODE('%E7%A4%BA%E4%BE%8Bfor+url_decode%3A%2F%2F+%28fdsf%29'), URL_DECODE('Example+for+url_decode+%3A%2F%2F+dsf%28fasfs%29', 'GBK'), URL_DECODE(NULL);
--: string, string, string
--> '示例for url_decode:// (fdsf)' | 'Example for url_decode :// dsf(fasfs)' | NULL

SELECT URL_ENCODE('a', 'latin1');
--! ODPS-0121095 Invalid arguments - unknown encoding latin1, use UTF-8 or GBK

SELECT URL_ENCODE('a', 'GBK', 'b');
--! ODPS-0130071 [1,8] Semantic analysis exception - function URL_ENCODE: takes 1 to 2 arguments in the local cloud, not 3

-- unverified: URL_DECODE of a text that is none
SELECT URL_DECODE('%zz');
--! ODPS-0121095 Invalid arguments - %zz is no encoded text

-- page: PARSE_URL
SELECT PARSE_URL(u, 'HOST'), PARSE_URL(u, 'path'), PARSE_URL(u, 'QUERY', 'type'), PARSE_URL(u, 'REF'), PARSE_URL(u, 'PROTOCOL'), PARSE_URL(u, 'AUTHORITY'), PARSE_URL(u, 'USERINFO'), PARSE_URL(u, 'FILE') FROM (SELECT 'file://username:password@example.com:8042/over/there/index.dtb?type=animal&name=narwhal#nose' AS u) t;
--: string, string, string, string, string, string, string, string
--> 'example.com' | '/over/there/index.dtb' | 'animal' | 'nose' | 'file' | 'username:password@example.com:8042' | 'username:password' | '/over/there/index.dtb?type=animal&name=narwhal'

SELECT PARSE_URL(NULL, 'HOST'), PARSE_URL('http://h', NULL), PARSE_URL('http://h', 'QUERY', NULL);
--: string, string, string
--> NULL | NULL | NULL

SELECT PARSE_URL('http://h', 'X');
--! ODPS-0121095 Invalid arguments - X is no part of a URL

SELECT PARSE_URL('nothing', 'HOST');
--! ODPS-0121095 Invalid arguments - nothing is no URL

SELECT PARSE_URL('http://h');
--! ODPS-0130071 [1,8] Semantic analysis exception - function PARSE_URL: takes 2 to 3 arguments in the local cloud, not 1

-- unverified: PARSE_URL of parts that the URL lacks, as in Hive
SELECT PARSE_URL('http://h', 'PATH'), PARSE_URL('http://h', 'QUERY'), PARSE_URL('http://h?a=1', 'QUERY', 'b'), PARSE_URL('http://h?a=1', 'PATH', 'a'), PARSE_URL('http://h', 'USERINFO');
--: string, string, string, string, string
--> '' | NULL | NULL | NULL | NULL

-- page: SUBSTRING_INDEX
SELECT SUBSTRING_INDEX('https://www.alibabacloud.com', '.', 2), SUBSTRING_INDEX('https://www.alibabacloud.com', '.', -2), SUBSTRING_INDEX('a', NULL, 2), SUBSTRING_INDEX(NULL, '.', 2);
--: string, string, string, string
--> 'https://www.alibabacloud' | 'alibabacloud.com' | NULL | NULL

SELECT SUBSTRING_INDEX('a.b', '.', 'x');
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Bigint

-- unverified: SUBSTRING_INDEX of 0 and of more separators than there are, as in Hive
SELECT SUBSTRING_INDEX('a.b', '.', 0), SUBSTRING_INDEX('a.b', '.', 9), SUBSTRING_INDEX('a.b', '.', -9), SUBSTRING_INDEX('a.b', '', 1);
--: string, string, string, string
--> '' | 'a.b' | 'a.b' | ''

-- page: INITCAP
SELECT INITCAP('oDps sql'), INITCAP(''), INITCAP(NULL), INITCAP('éa-b  c');
--: string, string, string, string
--> 'Odps Sql' | '' | NULL | 'Éa-b  C'

-- page: STR_TO_MAP
SELECT STR_TO_MAP('test1&1-test2&2', '-', '&'), STR_TO_MAP('test1.1,test2.2', ',', '\\.'), STR_TO_MAP('test1.1,test2.2,test2.3', ',', '\\.'), STR_TO_MAP('a=1,b=2'), STR_TO_MAP(NULL), STR_TO_MAP('last_win', 'a=1,a=2');
--: map<string,string>, map<string,string>, map<string,string>, map<string,string>, map<string,string>, map<string,string>
--> {'test1': '1', 'test2': '2'} | {'test1': '1', 'test2': '2'} | {'test1': '1', 'test2': '3'} | {'a': '1', 'b': '2'} | NULL | {'a': '2'}

SELECT STR_TO_MAP('exception', 'a=1,a=2');
--! ODPS-0121095 Invalid arguments - the key a is there twice

SELECT STR_TO_MAP('a', 'b', 'c', 'd');
--! ODPS-0130071 [1,8] Semantic analysis exception - function STR_TO_MAP: the first of 4 arguments must be 'exception' or 'last_win'

-- unverified: STR_TO_MAP of pairs without or with several separators, as in Hive
SELECT STR_TO_MAP('a'), STR_TO_MAP('a=b=c'), STR_TO_MAP('');
--: map<string,string>, map<string,string>, map<string,string>
--> {'a': NULL} | {'a': 'b=c'} | {'': NULL}

-- recalled: KEYVALUE
SELECT KEYVALUE('a:1\;b:2', 'b'), KEYVALUE('a=1,b=2', ',', '=', 'b'), KEYVALUE('a:1', 'z'), KEYVALUE(NULL, 'a'), KEYVALUE('a:1\;a', 'a');
--: string, string, string, string, string
--> '2' | '2' | NULL | NULL | '1'

SELECT KEYVALUE('a', 'b', 'c');
--! ODPS-0130071 [1,8] Semantic analysis exception - function KEYVALUE: takes 2 or 4 arguments, not 3

-- recalled: REGEXP_EXTRACT_ALL
SELECT REGEXP_EXTRACT_ALL('100-200, 300-400', '(\\d+)-(\\d+)'), REGEXP_EXTRACT_ALL('100-200, 300-400', '(\\d+)-(\\d+)', 2), REGEXP_EXTRACT_ALL('100-200, 300-400', '(\\d+)-(\\d+)', 0), REGEXP_EXTRACT_ALL(NULL, '(a)'), REGEXP_EXTRACT_ALL('b', '(a)');
--: array<string>, array<string>, array<string>, array<string>, array<string>
--> ['100', '300'] | ['200', '400'] | ['100-200', '300-400'] | NULL | []

SELECT REGEXP_EXTRACT_ALL('a', 'a', 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function REGEXP_EXTRACT_ALL: the pattern 'a' has no group 1

-- recalled: CHAR_MATCHCOUNT, FIND_IN_SET
SELECT CHAR_MATCHCOUNT('abd', 'aabc'), CHAR_MATCHCOUNT(NULL, 'a'), FIND_IN_SET('ab', 'abc,hello,ab,c'), FIND_IN_SET('hi', 'a,b'), FIND_IN_SET('b', 'a-b', '-'), FIND_IN_SET(NULL, 'a'), FIND_IN_SET('a', NULL);
--: bigint, bigint, bigint, bigint, bigint, bigint, bigint
--> 2 | NULL | 3 | 0 | 2 | NULL | NULL

-- page: FROM_JSON
SELECT FROM_JSON('{"a":1, "b":0.8}', 'a int, b double'), FROM_JSON('{"time":"26/08/2015"}', 'time string'), FROM_JSON('{"a":1, "b":0.8}', 'a int, b double, c string'), FROM_JSON('[1, 2, 3, "a"]', 'array<bigint>'), FROM_JSON('{"a":1,"b":[1,2,3],"c":{},"d":"v"}', 'map<string, string>'), MAP_KEYS(FROM_JSON('{"a":1,"b":2}', 'map<string,string>'));
--: struct<a:bigint,b:double>, struct<time:string>, struct<a:bigint,b:double,c:string>, array<bigint>, map<string,string>, array<string>
--> (a: 1, b: 0.8) | (time: '26/08/2015') | (a: 1, b: 0.8, c: NULL) | [1, 2, 3] | {'a': '1', 'b': '[1,2,3]', 'c': '{}', 'd': 'v'} | ['a', 'b']

SELECT FROM_JSON('{"A":1,"a":2}', 'struct<A:bigint>'), FROM_JSON(NULL, 'a int'), FROM_JSON('{"a":{"x":[1.50,null,true]}}', 'struct<a:struct<x:array<string>>>'), FROM_JSON('{"d":"2020-01-01","e":1.25,"f":true}', 'd date, e decimal(10,2), f boolean');
--: struct<a:bigint>, struct<a:bigint>, struct<a:struct<x:array<string>>>, struct<d:date,e:decimal(10,2),f:boolean>
--> (a: 1) | NULL | (a: (x: ['1.50', NULL, 'true'])) | (d: 2020-01-01, e: 1.25BD, f: true)

SELECT FROM_JSON('{}', 'nothing');
--! ODPS-0130071 [1,8] Semantic analysis exception - function FROM_JSON: does not know the schema 'nothing'

SELECT FROM_JSON('{}', '');
--! ODPS-0130071 [1,8] Semantic analysis exception - function FROM_JSON: does not know the schema ''

SELECT FROM_JSON('{}');
--! ODPS-0130071 [1,8] Semantic analysis exception - function FROM_JSON: takes 2 arguments in the local cloud, not 1

-- unverified: FROM_JSON of what is no JSON, and of values that do not fit
SELECT FROM_JSON('nope', 'a int'), FROM_JSON('[1]', 'a int'), FROM_JSON('{"a":"1","b":1.5}', 'a bigint, b bigint');
--: struct<a:bigint>, struct<a:bigint>, struct<a:bigint,b:bigint>
--> NULL | NULL | (a: NULL, b: NULL)

-- refused: FROM_JSON and TO_JSON of times and of BINARY
SELECT FROM_JSON('{}', 'a datetime');
--! ODPS-0130071 [1,8] Semantic analysis exception - function FROM_JSON: does not know the schema struct<a:datetime> in the local cloud

SELECT TO_JSON(ARRAY(GETDATE()));
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_JSON: does not write ARRAY<DATETIME> in the local cloud

-- page: TO_JSON (a field of a STRUCT that is NULL is left out)
SELECT TO_JSON(NAMED_STRUCT('a', 1, 'b', 'x"中')), TO_JSON(NAMED_STRUCT('A', CAST(NULL AS STRING), 'b', 2)), TO_JSON(ARRAY(NAMED_STRUCT('a', 1, 'b', 2))), TO_JSON(MAP('a', NAMED_STRUCT('b', 1)));
--: string, string, string, string
--> '{"a":1,"b":"x\\"中"}' | '{"b":2}' | '[{"a":1,"b":2}]' | '{"a":{"b":1}}'

SELECT TO_JSON(tags), TO_JSON(MAP('k', ARRAY(1.5, NULL))) FROM orders WHERE id <> 2 ORDER BY id LIMIT 2;
--: string, string
--> '["a","b"]' | '{"k":[1.5,null]}'
--> NULL | '{"k":[1.5,null]}'

SELECT TO_JSON(1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_JSON: takes an ARRAY, MAP or STRUCT, not BIGINT

-- recalled: SHA2
SELECT SHA2('ABC', 0), SHA2('ABC', 224), SHA2('ABC', 384), SHA2('ABC', 512), SHA2(NULL, 256);
--: string, string, string, string, string
--> 'b5d4045c3f466fa91fe2cc6abe79232a1a57cdf104f7a26e716e0a1e2789df78' | '107c5072b799c4771f328304cfe1ebb375eb6ea7f35a3aa753836fad' | '1e02dc92a41db610c9bcdc9b5935d1fb9be5639116f6c67e97bc1a3ac649753baba7ba021c813e1fe20c0480213ad371' | '397118fdac8d83ad98813c50759c85b8c47565d8268bf10da483153b747a74743a58a90e85aa9f705ce6984ffc128db567489817e4092d050d8a1cc596ddc119' | NULL

SELECT SHA2('a', 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function SHA2: argument 2 must be 0, 224, 256, 384 or 512

-- recalled: SPLIT_PART (over a range of parts), CRC32
SELECT SPLIT_PART('aa,bb,cc,dd', ',', 1, 2), SPLIT_PART('aa,bb,cc,dd', ',', 2, 9), SPLIT_PART('aa,bb', ',', 5, 6), SPLIT_PART(NULL, ',', 1, 1), CRC32('a');
--: string, string, string, string, bigint
--> 'aa,bb' | 'bb,cc,dd' | '' | NULL | 3904355907
