-- page: MaxCompute V2.0 data type edition (DECIMAL)

SELECT CAST(1 AS DECIMAL(10,2)), CAST(1.005BD AS DECIMAL(10,2)), CAST('1.23' AS DECIMAL(10,2)), CAST(1.5 AS DECIMAL);
--: decimal(10,2), decimal(10,2), decimal(10,2), decimal(38,18)
--> 1.00BD | 1.01BD | 1.23BD | 1.500000000000000000BD

SELECT CAST(1 AS DECIMAL), CAST(123456789012 AS DECIMAL(10,0));
--! ODPS-0121095 Invalid arguments - Conversion Error: Could not cast value 123456789012 to DECIMAL(10,0)

SELECT CAST('123.456' AS DECIMAL(5,2));
--! ODPS-0123091 Illegal type cast - 123.456 has more than 2 decimals, round it first

SELECT CAST('1000' AS DECIMAL(5,2));
--! ODPS-0121095 Invalid arguments - Conversion Error: Could not convert string "1000" to DECIMAL(5,2)

SELECT 1.5BD = 1.50BD, 1.5BD < 2, 0.1BD + 0.2BD = 0.3BD, 0.1 + 0.2 = 0.3;
--: boolean, boolean, boolean, boolean
--> true | true | true | false

SELECT CAST(1.9BD AS BIGINT), CAST(1.5BD AS DOUBLE), CAST(1.50BD AS STRING);
--: bigint, double, string
--> 1 | 1.5 | '1.5'

SELECT SUM(pay), MAX(pay), MIN(pay), COUNT(pay) FROM people;
--: decimal(38,2), decimal(10,2), decimal(10,2), bigint
--> 30.75BD | 20.25BD | 0.00BD | 3

SELECT 1.5BD + 1.5;
--: double
--> 3.0

SELECT -1.5BD, ABS(-1.5BD), CEIL(1.2BD), FLOOR(-1.2BD);
--: decimal(2,1), decimal(2,1), bigint, bigint
--> -1.5BD | 1.5BD | 2 | -2

-- unverified: precision and scale of results are Hive's, with at most 18 decimals
SELECT 1.25BD + 1, 1.5BD * 1.5BD, 1BD / 3, 2 - 0.5BD, AVG(pay) FROM people;
--: decimal(22,2), decimal(5,2), decimal(21,18), decimal(21,1), decimal(14,6)
--> 2.25BD | 2.25BD | 0.333333333333333333BD | 1.5BD | 10.250000BD

SELECT CAST(100.5 AS DECIMAL) * CAST(2 AS DECIMAL), CAST(1 AS DECIMAL) / CAST(3 AS DECIMAL);
--: decimal(38,18), decimal(38,18)
--> 201.000000000000000000BD | 0.333333333333333333BD

SELECT ROUND(1.255BD, 2), ROUND(-1.5BD), ROUND(CAST(125 AS DECIMAL(5,1)), -1);
--: decimal(4,3), decimal(2,1), decimal(5,1)
--> 1.260BD | -2.0BD | 130.0BD

SELECT 2BD / 3, -2BD / 3, 1.00000000000000000005BD * 1;
--: decimal(21,18), decimal(21,18), decimal(38,18)
--> 0.666666666666666667BD | -0.666666666666666667BD | 1.000000000000000000BD

SELECT 1.5BD / 0;
--: decimal(22,18)
--> NULL

SELECT CAST(99999999999999999999 AS DECIMAL(38,0)) * CAST(99999999999999999999 AS DECIMAL(38,0));
--! ODPS-0121095 Invalid arguments - Conversion Error: Could not convert string "10000000000000000000000000000000000000000" to DECIMAL(38,0)

-- refused: remainders of DECIMAL
SELECT 1.5BD % 1;
--! ODPS-0130071 [1,16] Semantic analysis exception - operator % of DECIMAL is not supported by the local cloud
