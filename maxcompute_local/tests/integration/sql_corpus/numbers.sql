-- recalled: ABS, CEIL, FLOOR, ROUND, TRUNC, SIGN
SELECT ABS(-1), ABS(-1.2), ABS('-2'), CEIL(1.1), CEIL(-1.1), FLOOR(1.2), FLOOR(-1.2), FLOOR(0.3);
--: bigint, double, double, bigint, bigint, bigint, bigint, bigint
--> 1 | 1.2 | 2.0 | 2 | -1 | 1 | -2 | 0

SELECT ROUND(125.315), ROUND(125.315, 0), ROUND(125.315, 1), ROUND(125.315, 2), ROUND(125.315, 3), ROUND(-125.315, 2), ROUND(123.345, -2), ROUND(123.345, 4), ROUND(123.345, -4), ROUND(NULL);
--: double, double, double, double, double, double, double, double, double, double
--> 125.0 | 125.0 | 125.3 | 125.32 | 125.315 | -125.32 | 100.0 | 123.345 | 0.0 | NULL

SELECT TRUNC(125.815), TRUNC(125.815, 0), TRUNC(125.815, 1), TRUNC(125.815, 2), TRUNC(125.815, 3), TRUNC(-125.815, 2), TRUNC(125.815, -1), TRUNC(125.815, -2), TRUNC(123.345, 4);
--: double, double, double, double, double, double, double, double, double
--> 125.0 | 125.0 | 125.8 | 125.81 | 125.815 | -125.81 | 120.0 | 100.0 | 123.345

SELECT ROUND(2.5), ROUND(-2.5), ROUND(7), SIGN(-2.5), SIGN(0), SIGN(3), NEGATIVE(1), POSITIVE(-2);
--: double, double, double, double, double, double, bigint, bigint
--> 3.0 | -3.0 | 7.0 | -1.0 | 0.0 | 1.0 | -1 | -2

-- recalled: SQRT, CBRT, EXP, LN, LOG, LOG2, LOG10, POW
SELECT SQRT(4), CBRT(8), EXP(0), LN(1), LOG(10, 100), LOG2(8), LOG10(1000), POW(2, 4), POW(2, 0.5), PI(), E();
--: double, double, double, double, double, double, double, double, double, double, double
--> 2.0 | 2.0 | 1.0 | 0.0 | 2.0 | 3.0 | 3.0 | 16.0 | 1.4142135623730951 | 3.141592653589793 | 2.718281828459045

-- unverified: results that are no finite number are errors
SELECT SQRT(-1);
--! ODPS-0121095 Invalid arguments - not a finite number: -nan

SELECT LN(0);
--! ODPS-0121095 Invalid arguments - not a finite number: -inf

SELECT EXP(1000);
--! ODPS-0121095 Invalid arguments - not a finite number: inf

-- recalled: SIN, COS, TAN, ASIN, ACOS, ATAN, DEGREES, RADIANS
SELECT SIN(0), COS(0), TAN(0), ASIN(0), ACOS(1), ATAN(0), DEGREES(0), RADIANS(0);
--: double, double, double, double, double, double, double, double
--> 0.0 | 1.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0

-- recalled: BIN, SHIFTLEFT
SELECT BIN(10), SHIFTLEFT(1, 3);
--: string, bigint
--> '1010' | 8

SELECT ABS('x');
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Double

SELECT ABS(true);
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of ABS: cannot convert BOOLEAN to DOUBLE

SELECT ROUND('1.25', 1), SQRT('4');
--: double, double
--> 1.3 | 2.0
