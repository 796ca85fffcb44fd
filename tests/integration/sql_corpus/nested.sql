-- page: ARRAY, SIZE, ARRAY_CONTAINS, SORT_ARRAY, ARRAY_DISTINCT, ARRAY_JOIN
SELECT ARRAY(1, 2), ARRAY('a', NULL), ARRAY(1, 2.5), ARRAY(), SIZE(ARRAY('a', 'b')), SIZE(MAP('a', 1, 'b', 2)), ARRAY_CONTAINS(ARRAY('a', 'b'), 'a'), ARRAY_CONTAINS(ARRAY(1), 2);

SELECT SORT_ARRAY(ARRAY(3, 1, 2)), SORT_ARRAY(ARRAY('b', 'a')), ARRAY_DISTINCT(ARRAY(1, 2, 1, 3, 2)), ARRAY_JOIN(ARRAY('a', 'b', NULL), '-');

SELECT ARRAY('a', 'b')[0], ARRAY('a', 'b')[1], SPLIT('x,y', ',')[0];

-- unverified: an index out of range is NULL
SELECT ARRAY('a', 'b')[2], ARRAY('a', 'b')[-1];

SELECT ARRAY(true, 1);

SELECT SIZE('abc');

SELECT ARRAY('a')['b'];

-- page: MAP, MAP_KEYS, MAP_VALUES, NAMED_STRUCT, STRUCT
SELECT MAP('a', 1, 'b', 2), MAP('a', 1)['a'], MAP('a', 1)['z'], MAP(1, 'x')[1], MAP_KEYS(MAP('a', 1)), MAP_VALUES(MAP('a', 1));

SELECT NAMED_STRUCT('a', 1, 'b', 'x'), NAMED_STRUCT('a', 1).a, STRUCT(1, 'x'), STRUCT(1, 'x').col2, NAMED_STRUCT('a', NAMED_STRUCT('b', 5)).a.b;

SELECT id, tags[0], marks['m'], spot.x, o.spot.y FROM orders o ORDER BY id;

SELECT spot.z FROM orders;

SELECT tags.x FROM orders;

SELECT NAMED_STRUCT('a', 1)['a'];

-- page: LATERAL VIEW
SELECT id, tag FROM orders LATERAL VIEW EXPLODE(tags) t AS tag ORDER BY id, tag;

SELECT id, tag FROM orders LATERAL VIEW OUTER EXPLODE(tags) t AS tag ORDER BY id, tag;

SELECT id, k, v FROM orders LATERAL VIEW EXPLODE(marks) m AS k, v ORDER BY id, k;

SELECT id, pos, tag FROM orders LATERAL VIEW POSEXPLODE(tags) t AS pos, tag ORDER BY id, pos;

SELECT id, tag, k FROM orders LATERAL VIEW EXPLODE(tags) t AS tag LATERAL VIEW EXPLODE(marks) m AS k, v ORDER BY id, tag, k;

SELECT tag, COUNT(*) AS n FROM orders LATERAL VIEW EXPLODE(tags) t AS tag WHERE id < 3 GROUP BY tag ORDER BY tag;

SELECT w FROM (SELECT 'a b' AS s) q LATERAL VIEW EXPLODE(SPLIT(s, ' ')) e AS w;

-- page: EXPLODE, POSEXPLODE (alone in a SELECT)
SELECT EXPLODE(ARRAY(1, 2)) AS n;

SELECT EXPLODE(MAP('a', 1)) AS (k, v);

SELECT POSEXPLODE(ARRAY('x', 'y')) AS (p, v);

SELECT id, EXPLODE(tags) FROM orders;

SELECT EXPLODE('abc');

SELECT id FROM orders LATERAL VIEW EXPLODE(tags) t AS a, b;

SELECT id FROM orders LATERAL VIEW SIZE(tags) t AS a;

-- page: COLLECT_LIST, COLLECT_SET (NULLs are left out)
SELECT COLLECT_LIST(age), SORT_ARRAY(COLLECT_SET(age)) FROM people;

SELECT COLLECT_LIST(age) FROM people WHERE false;

SELECT COLLECT_LIST(name) WITHIN GROUP (ORDER BY name DESC) FROM people;

-- refused: ORDER BY a MAP
SELECT id FROM orders ORDER BY marks;
