-- recalled: ARRAY, SIZE, ARRAY_CONTAINS, SORT_ARRAY, ARRAY_DISTINCT, ARRAY_JOIN
SELECT ARRAY(1, 2), ARRAY('a', NULL), ARRAY(1, 2.5), ARRAY(), SIZE(ARRAY('a', 'b')), SIZE(MAP('a', 1, 'b', 2)), ARRAY_CONTAINS(ARRAY('a', 'b'), 'a'), ARRAY_CONTAINS(ARRAY(1), 2);
--: array<bigint>, array<string>, array<double>, array<string>, bigint, bigint, boolean, boolean
--> [1, 2] | ['a', NULL] | [1.0, 2.5] | [] | 2 | 2 | true | false

SELECT SORT_ARRAY(ARRAY(3, 1, 2)), SORT_ARRAY(ARRAY('b', 'a')), ARRAY_DISTINCT(ARRAY(1, 2, 1, 3, 2)), ARRAY_JOIN(ARRAY('a', 'b', NULL), '-');
--: array<bigint>, array<string>, array<bigint>, string
--> [1, 2, 3] | ['a', 'b'] | [1, 2, 3] | 'a-b'

SELECT ARRAY('a', 'b')[0], ARRAY('a', 'b')[1], SPLIT('x,y', ',')[0];
--: string, string, string
--> 'a' | 'b' | 'x'

-- unverified: an index out of range is NULL
SELECT ARRAY('a', 'b')[2], ARRAY('a', 'b')[-1];
--: string, string
--> NULL | NULL

SELECT ARRAY(true, 1);
--! ODPS-0130141 [1,8] Illegal implicit type cast - ARRAY: BOOLEAN and BIGINT have no common type

SELECT SIZE('abc');
--! ODPS-0130071 [1,8] Semantic analysis exception - function SIZE: takes an ARRAY or MAP, not STRING

SELECT ARRAY('a')['b'];
--! ODPS-0130071 [1,8] Semantic analysis exception - an ARRAY has no element STRING

-- recalled: MAP, MAP_KEYS, MAP_VALUES, NAMED_STRUCT, STRUCT
SELECT MAP('a', 1, 'b', 2), MAP('a', 1)['a'], MAP('a', 1)['z'], MAP(1, 'x')[1], MAP_KEYS(MAP('a', 1)), MAP_VALUES(MAP('a', 1));
--: map<string,bigint>, bigint, bigint, string, array<string>, array<bigint>
--> {'a': 1, 'b': 2} | 1 | NULL | 'x' | ['a'] | [1]

SELECT NAMED_STRUCT('a', 1, 'b', 'x'), NAMED_STRUCT('a', 1).a, STRUCT(1, 'x'), STRUCT(1, 'x').col2, NAMED_STRUCT('a', NAMED_STRUCT('b', 5)).a.b;
--: struct<a:bigint,b:string>, bigint, struct<col1:bigint,col2:string>, string, bigint
--> (a: 1, b: 'x') | 1 | (col1: 1, col2: 'x') | 'x' | 5

SELECT id, tags[0], marks['m'], spot.x, o.spot.y FROM orders o ORDER BY id;
--: bigint, string, bigint, bigint, bigint
--> 1 | 'a' | 5 | 1 | 2
--> 2 | 'c' | 6 | 3 | 4
--> 3 | NULL | NULL | NULL | NULL

SELECT spot.z FROM orders;
--! ODPS-0130071 [1,8] Semantic analysis exception - STRUCT<X:BIGINT,Y:BIGINT> has no field z

SELECT tags.x FROM orders;
--! ODPS-0130071 [1,8] Semantic analysis exception - ARRAY<STRING> has no field x

SELECT NAMED_STRUCT('a', 1)['a'];
--! ODPS-0130071 [1,8] Semantic analysis exception - STRUCT<A:BIGINT> has no elements

-- recalled: LATERAL VIEW
SELECT id, tag FROM orders LATERAL VIEW EXPLODE(tags) t AS tag ORDER BY id, tag;
--: bigint, string
--> 1 | 'a'
--> 1 | 'b'
--> 2 | 'c'

SELECT id, tag FROM orders LATERAL VIEW OUTER EXPLODE(tags) t AS tag ORDER BY id, tag;
--: bigint, string
--> 1 | 'a'
--> 1 | 'b'
--> 2 | 'c'
--> 3 | NULL

SELECT id, k, v FROM orders LATERAL VIEW EXPLODE(marks) m AS k, v ORDER BY id, k;
--: bigint, string, bigint
--> 1 | 'm' | 5
--> 2 | 'm' | 6
--> 2 | 'n' | 7

SELECT id, pos, tag FROM orders LATERAL VIEW POSEXPLODE(tags) t AS pos, tag ORDER BY id, pos;
--: bigint, bigint, string
--> 1 | 0 | 'a'
--> 1 | 1 | 'b'
--> 2 | 0 | 'c'

SELECT id, tag, k FROM orders LATERAL VIEW EXPLODE(tags) t AS tag LATERAL VIEW EXPLODE(marks) m AS k, v ORDER BY id, tag, k;
--: bigint, string, string
--> 1 | 'a' | 'm'
--> 1 | 'b' | 'm'
--> 2 | 'c' | 'm'
--> 2 | 'c' | 'n'

SELECT tag, COUNT(*) AS n FROM orders LATERAL VIEW EXPLODE(tags) t AS tag WHERE id < 3 GROUP BY tag ORDER BY tag;
--: string, bigint
--> 'a' | 1
--> 'b' | 1
--> 'c' | 1

SELECT w FROM (SELECT 'a b' AS s) q LATERAL VIEW EXPLODE(SPLIT(s, ' ')) e AS w ORDER BY w;
--: string
--> 'a'
--> 'b'

-- recalled: EXPLODE, POSEXPLODE (alone in a SELECT)
SELECT EXPLODE(ARRAY(1, 2)) AS n ORDER BY n;
--: bigint
--> 1
--> 2

SELECT EXPLODE(MAP('a', 1)) AS (k, v);
--: string, bigint
--> 'a' | 1

SELECT POSEXPLODE(ARRAY('x', 'y')) AS (p, v) ORDER BY p;
--: bigint, string
--> 0 | 'x'
--> 1 | 'y'

SELECT id, EXPLODE(tags) FROM orders;
--! ODPS-0130071 [1,1] Semantic analysis exception - EXPLODE must stand alone in a SELECT

SELECT EXPLODE('abc');
--! ODPS-0130071 [1,8] Semantic analysis exception - function EXPLODE: cannot explode STRING

SELECT id FROM orders LATERAL VIEW EXPLODE(tags) t AS a, b;
--! ODPS-0130071 [1,36] Semantic analysis exception - EXPLODE makes 1 columns, not 2

SELECT id FROM orders LATERAL VIEW SIZE(tags) t AS a;
--! ODPS-0130071 [1,1] Semantic analysis exception - SIZE makes no rows for a LATERAL VIEW

-- recalled: COLLECT_LIST, COLLECT_SET (NULLs are left out)
SELECT COLLECT_LIST(age), SORT_ARRAY(COLLECT_SET(age)) FROM people;
--: array<bigint>, array<bigint>
--> [30, 25, 25] | [25, 30]

SELECT COLLECT_LIST(age) FROM people WHERE false;
--: array<bigint>
--> []

SELECT COLLECT_LIST(name) WITHIN GROUP (ORDER BY name DESC) FROM people;
--: array<string>
--> ['cid', 'bob', 'ann']

-- refused: ORDER BY a MAP
SELECT id FROM orders ORDER BY marks;
--! ODPS-0130071 [1,1] Semantic analysis exception - ORDER BY a MAP is not possible

-- page: ARRAY_MAX, ARRAY_MIN (NULL does not count)
SELECT ARRAY_MAX(ARRAY(1, 20, NULL, 3)), ARRAY_MIN(ARRAY(1, 20, NULL, 3)), ARRAY_MAX(ARRAY('a', 'b')), ARRAY_MAX(ARRAY()), ARRAY_MIN(CAST(NULL AS ARRAY<BIGINT>));
--: bigint, bigint, string, string, bigint
--> 20 | 1 | 'b' | NULL | NULL

SELECT ARRAY_MAX(1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function ARRAY_MAX: argument 1 must be an ARRAY, not BIGINT

-- recalled: ARRAY_UNION, ARRAY_INTERSECT, ARRAY_EXCEPT (NULL is an element, in the order of the first)
SELECT ARRAY_UNION(ARRAY(1, 2), ARRAY(2, 3)), ARRAY_UNION(ARRAY(3, NULL), ARRAY(NULL, 1)), ARRAY_INTERSECT(ARRAY(1, 2, 3, NULL, 3), ARRAY(NULL, 3, 4)), ARRAY_EXCEPT(ARRAY(1, 1, 3, 3, 5, 5), ARRAY(1, 1, 2, 2, 3, 3)), ARRAY_EXCEPT(ARRAY(1, NULL), ARRAY(2, NULL));
--: array<bigint>, array<bigint>, array<bigint>, array<bigint>, array<bigint>
--> [1, 2, 3] | [3, NULL, 1] | [3, NULL] | [5] | [1]

SELECT ARRAY_UNION(ARRAY(1), NULL), ARRAY_INTERSECT(NULL, ARRAY(1)), ARRAY_EXCEPT(ARRAY(1), NULL), ARRAY_EXCEPT(tags, ARRAY('a')) FROM orders ORDER BY id LIMIT 1;
--: array<bigint>, array<bigint>, array<bigint>, array<string>
--> NULL | NULL | NULL | ['b']

SELECT ARRAY_UNION(ARRAY(1), ARRAY('a'));
--! ODPS-0130071 [1,8] Semantic analysis exception - function ARRAY_UNION: takes ARRAYs of one type, not ARRAY<BIGINT> and ARRAY<STRING>

SELECT ARRAY_UNION(1, ARRAY('a'));
--! ODPS-0130071 [1,8] Semantic analysis exception - function ARRAY_UNION: argument 1 must be an ARRAY, not BIGINT

SELECT ARRAY_UNION(ARRAY(1));
--! ODPS-0130071 [1,8] Semantic analysis exception - function ARRAY_UNION: takes 2 arguments in the local cloud, not 1

-- recalled: ARRAYS_OVERLAP
SELECT ARRAYS_OVERLAP(ARRAY(1, 2), ARRAY(2)), ARRAYS_OVERLAP(ARRAY(1), ARRAY(2)), ARRAYS_OVERLAP(ARRAY(1), NULL);
--: boolean, boolean, boolean
--> true | false | false

-- page: ARRAY_REMOVE, ARRAY_POSITION (counts from 1, 0 is nowhere)
SELECT ARRAY_REMOVE(ARRAY(3, 2, 1), 1), ARRAY_REMOVE(ARRAY(3, 1, NULL), NULL), ARRAY_REMOVE(ARRAY(3, 1, NULL), 2), ARRAY_POSITION(ARRAY(3, 2, 1), 1), ARRAY_POSITION(ARRAY(3, 1, NULL), NULL), ARRAY_POSITION(ARRAY(3), 4);
--: array<bigint>, array<bigint>, array<bigint>, bigint, bigint, bigint
--> [3, 2] | NULL | [3, 1, NULL] | 3 | NULL | 0

SELECT ARRAY_POSITION(ARRAY(1), ARRAY(1));
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 2 of ARRAY_POSITION: cannot convert ARRAY<BIGINT> to BIGINT

-- page: SLICE (counts from 1, or from the end)
SELECT SLICE(ARRAY(10, 20, 20, NULL, NULL, 30), 1, 3), SLICE(ARRAY(10, 20, 20, NULL, NULL, 30), -2, 2), SLICE(ARRAY(10, 20, 20, NULL, NULL, 30), 3, 10), SLICE(ARRAY(10, 20, 20, NULL, NULL, 30), 3, 0), SLICE(CAST(NULL AS ARRAY<BIGINT>), 1, 1);
--: array<bigint>, array<bigint>, array<bigint>, array<bigint>, array<bigint>
--> [10, 20, 20] | [NULL, 30] | [20, NULL, NULL, 30] | [] | NULL

SELECT SLICE(ARRAY(1), 1, -1);
--! ODPS-0121095 Invalid arguments - the length of a SLICE must not be negative

SELECT SLICE(ARRAY(1), 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function SLICE: takes 3 arguments in the local cloud, not 2

-- unverified: SLICE outside of the ARRAY, as in Spark
SELECT SLICE(ARRAY(1), 5, 1), SLICE(ARRAY(1, 2), -3, 2), SLICE(ARRAY(1), NULL, 1);
--: array<bigint>, array<bigint>, array<bigint>
--> [] | [] | NULL

SELECT SLICE(ARRAY(1), 0, 1);
--! ODPS-0121095 Invalid arguments - SLICE counts from 1

-- page: SEQUENCE
SELECT SEQUENCE(1, 5), SEQUENCE(5, 1), SEQUENCE(1, 10, 3), SEQUENCE(3, 3), SEQUENCE(DATE '2018-01-30', DATE '2018-02-01'), SEQUENCE(NULL, 1);
--: array<bigint>, array<bigint>, array<bigint>, array<bigint>, array<date>, array<bigint>
--> [1, 2, 3, 4, 5] | [5, 4, 3, 2, 1] | [1, 4, 7, 10] | [3] | [2018-01-30, 2018-01-31, 2018-02-01] | NULL

SELECT SEQUENCE(1, 5, -1);
--! ODPS-0121095 Invalid arguments - the step of a SEQUENCE leads away from its end

SELECT SEQUENCE(1, 10001);
--! ODPS-0121095 Invalid arguments - a SEQUENCE has at most 10000 elements

SELECT SEQUENCE(1, 'a');
--! ODPS-0130141 [1,8] Illegal implicit type cast - SEQUENCE: BIGINT and STRING have no common type

SELECT SEQUENCE(TO_DATE('2018-01-01'), TO_DATE('2018-03-01'), INTERVAL 1 MONTH), SEQUENCE(DATE '2018-01-31', DATE '2018-03-30', INTERVAL 1 MONTH), SEQUENCE(DATE '2018-01-03', DATE '2018-01-01', INTERVAL '-2' DAY), SEQUENCE(DATE '2018-01-01', DATE '2018-01-01'), SEQUENCE(DATE '2018-01-01', NULL);
--: array<date>, array<date>, array<date>, array<date>, array<date>
--> [2018-01-01, 2018-02-01, 2018-03-01] | [2018-01-31, 2018-02-28] | [2018-01-03, 2018-01-01] | [2018-01-01] | NULL

SELECT SEQUENCE(DATETIME '2018-01-01 00:30:00', DATETIME '2018-01-01 03:00:00', INTERVAL 1 HOUR), SEQUENCE(DATETIME '2018-01-03 00:30:00', DATETIME '2018-01-01 00:00:00');
--: array<datetime>, array<datetime>
--> [2018-01-01 00:30:00, 2018-01-01 01:30:00, 2018-01-01 02:30:00] | [2018-01-03 00:30:00, 2018-01-02 00:30:00, 2018-01-01 00:30:00]

SELECT SEQUENCE(DATE '2018-01-01', DATE '2018-01-03', INTERVAL '-1' DAY);
--! ODPS-0121095 Invalid arguments - the step of a SEQUENCE leads away from its end

SELECT SEQUENCE(DATE '2018-01-01', DATE '2018-01-03', INTERVAL '0' DAY);
--! ODPS-0130071 [1,8] Semantic analysis exception - function SEQUENCE: the INTERVAL must not be 0

SELECT SEQUENCE(DATE '2018-01-01', DATE '2018-01-03', 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function SEQUENCE: takes two dates or times and an INTERVAL

-- refused: SEQUENCE of DATEs by hours
SELECT SEQUENCE(DATE '2018-01-01', DATE '2018-01-03', INTERVAL '1' HOUR);
--! ODPS-0130071 [1,8] Semantic analysis exception - function SEQUENCE: of DATEs takes days and longer units only in the local cloud

-- page: CONCAT (of ARRAYs)
SELECT CONCAT(ARRAY(10, 20), ARRAY(20, -20)), CONCAT(ARRAY(10, NULL), ARRAY(20, -20)), CONCAT(ARRAY(10, 20), NULL);
--: array<bigint>, array<bigint>, array<bigint>
--> [10, 20, 20, -20] | [10, NULL, 20, -20] | NULL

SELECT CONCAT(ARRAY(1), 'a');
--! ODPS-0130071 [1,8] Semantic analysis exception - function CONCAT: argument 2 must be an ARRAY, not STRING

-- page: ARRAY_JOIN
SELECT ARRAY_JOIN(ARRAY(10, 20, 20, NULL, NULL, 30), ','), ARRAY_JOIN(ARRAY(10, 20, 20, NULL, NULL, 30), '##', 'null');
--: string, string
--> '10,20,20,30' | '10##20##20##null##null##30'

-- recalled: SORT_ARRAY (NULL is the smallest)
SELECT SORT_ARRAY(ARRAY(2, NULL, 3), false), SORT_ARRAY(ARRAY(2, NULL, 3), true);
--: array<bigint>, array<bigint>
--> [3, 2, NULL] | [NULL, 2, 3]

-- recalled: ARRAY_REPEAT, FLATTEN, MAP_FROM_ARRAYS, MAP_CONCAT, MAP_ENTRIES
SELECT ARRAY_REPEAT('a', 2), ARRAY_REPEAT(1, -1), FLATTEN(ARRAY(ARRAY(1, 2), ARRAY(3))), FLATTEN(ARRAY(ARRAY(1), NULL)), MAP_FROM_ARRAYS(ARRAY('a', 'b'), ARRAY(1, 2)), MAP_CONCAT(MAP('a', 1, 'b', 2), MAP('b', 3)), MAP_CONCAT(MAP('a', 1), CAST(NULL AS MAP<STRING,BIGINT>)), MAP_ENTRIES(MAP('a', 1));
--: array<string>, array<bigint>, array<bigint>, array<bigint>, map<string,bigint>, map<string,bigint>, map<string,bigint>, array<struct<key:string,value:bigint>>
--> ['a', 'a'] | [] | [1, 2, 3] | NULL | {'a': 1, 'b': 2} | {'a': 1, 'b': 3} | NULL | [(key: 'a', value: 1)]

SELECT FLATTEN(ARRAY(1));
--! ODPS-0130071 [1,8] Semantic analysis exception - function FLATTEN: takes an ARRAY of ARRAYs, not ARRAY<BIGINT>

SELECT MAP_CONCAT(MAP('a', 1), MAP('a', 'b'));
--! ODPS-0130071 [1,8] Semantic analysis exception - function MAP_CONCAT: takes MAPs of one type

-- page: INLINE
SELECT INLINE(ARRAY(NAMED_STRUCT('a', 1, 'b', 'x'), NAMED_STRUCT('a', 2, 'b', 'y'))) ORDER BY a;
--: bigint, string
--> 1 | 'x'
--> 2 | 'y'

SELECT INLINE(ARRAY(STRUCT(1, 'x'))) AS (p, q);
--: bigint, string
--> 1 | 'x'

SELECT id, p, q FROM orders LATERAL VIEW INLINE(ARRAY(spot)) t AS p, q WHERE id < 3 ORDER BY id;
--: bigint, bigint, bigint
--> 1 | 1 | 2
--> 2 | 3 | 4

SELECT INLINE(ARRAY(1));
--! ODPS-0130071 [1,8] Semantic analysis exception - function INLINE: takes an ARRAY of STRUCTs, not ARRAY<BIGINT>

SELECT INLINE(ARRAY(STRUCT(1, 'x'))) AS (p);
--! ODPS-0130071 [1,8] Semantic analysis exception - INLINE makes 2 columns, not 1

-- page: STACK
SELECT STACK(3, 1, 2, 3, 4, 5, 6) ORDER BY col0;
--: bigint, bigint
--> 1 | 2
--> 3 | 4
--> 5 | 6

SELECT STACK(2, 'A', 10, DATE '2015-01-01', 'B', 20, DATE '2016-01-01') AS (a, b, c) ORDER BY a;
--: string, bigint, date
--> 'A' | 10 | 2015-01-01
--> 'B' | 20 | 2016-01-01

SELECT x, y FROM (SELECT 1 AS a) t LATERAL VIEW STACK(2, a, 'x', NULL, 'y') s AS x, y ORDER BY y;
--: bigint, string
--> 1 | 'x'
--> NULL | 'y'

SELECT STACK(2, 1, 2, 3);
--! ODPS-0130071 [1,8] Semantic analysis exception - function STACK: takes a number of rows and as many values for each row

-- recalled: TRANSFORM, FILTER, ANY_MATCH, ALL_MATCH
SELECT TRANSFORM(ARRAY(1, 2, NULL), x -> x + 1), TRANSFORM(ARRAY('a'), x -> CONCAT(x, 'b')), FILTER(ARRAY(1, 2, NULL), x -> x > 1), TRANSFORM(ARRAY(NAMED_STRUCT('a', 1)), x -> x.a), TRANSFORM(ARRAY(1), x -> ARRAY_REMOVE(ARRAY(1, 2), x)), TRANSFORM(CAST(NULL AS ARRAY<BIGINT>), x -> x);
--: array<bigint>, array<string>, array<bigint>, array<bigint>, array<array<bigint>>, array<bigint>
--> [2, 3, NULL] | ['ab'] | [2] | [1] | [[2]] | NULL

SELECT id, TRANSFORM(tags, t -> CONCAT(t, who)), TRANSFORM(tags, t -> SIZE(FILTER(tags, u -> u <> t))) FROM orders WHERE id < 3 ORDER BY id;
--: bigint, array<string>, array<bigint>
--> 1 | ['aann', 'bann'] | [1, 1]
--> 2 | ['cbob'] | [0]

SELECT ANY_MATCH(ARRAY(1, 2), x -> x > 1), ANY_MATCH(ARRAY(1, NULL), x -> x > 1), ANY_MATCH(ARRAY(), x -> x = 'a'), ALL_MATCH(ARRAY(1, 2), x -> x > 1), ALL_MATCH(ARRAY(2, NULL), x -> x > 1), ALL_MATCH(ARRAY(), x -> x = 'a');
--: boolean, boolean, boolean, boolean, boolean, boolean
--> true | NULL | false | false | NULL | true

SELECT TRANSFORM(ARRAY(1), x -> y);
--! ODPS-0130071 [1,33] Semantic analysis exception - column y cannot be resolved

SELECT TRANSFORM(ARRAY(1), 1);
--! ODPS-0130071 [1,18] Semantic analysis exception - function TRANSFORM: argument 2 must be a function like x -> x + 1, not BIGINT

SELECT FILTER(ARRAY(1), x -> x + 1);
--! ODPS-0130071 [1,8] Semantic analysis exception - function FILTER: argument 2 must give a BOOLEAN, not BIGINT

-- refused: functions with several parameters, and anywhere else
SELECT TRANSFORM(ARRAY(1), (x, i) -> x + i);
--! ODPS-0130161 [1,18] Parse exception - LAMBDA ((x, i) -> x + i) is not supported here by the local cloud

SELECT UPPER(x -> x);
--! ODPS-0130161 [1,14] Parse exception - LAMBDA (x -> x) is not supported by the local cloud

SELECT COUNT(ARRAY(1), x -> x);
--! ODPS-0130161 [1,24] Parse exception - LAMBDA (x -> x) is not supported by the local cloud
