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
--! ODPS-0130071 [1,1] Semantic analysis exception - function EXPLODE: cannot explode STRING

SELECT id FROM orders LATERAL VIEW EXPLODE(tags) t AS a, b;
--! ODPS-0130071 [1,1] Semantic analysis exception - EXPLODE makes 1 columns, not 2

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
