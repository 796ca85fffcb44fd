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

-- page: CONV (of a text; negative numbers, fractions and what is no STRING are NULL)
SELECT CONV('1100', 2, 10), CONV('1100', 2, 16), CONV('ab', 16, 10), CONV('0', 10, 2), CONV('-10', 10, 2), CONV('1.5', 10, 2), CONV(10, 10, 2), CONV(NULL, 10, 2), CONV('10', 10, NULL), CONV('FFFFFFFFFFFFFFFFF', 16, 10);
--: string, string, string, string, string, string, string, string, string, string
--> '12' | 'C' | '171' | '0' | NULL | NULL | NULL | NULL | NULL | NULL

SELECT CONV('1', 3, 10);
--! ODPS-0130071 [1,8] Semantic analysis exception - function CONV: argument 2 must be 2, 8, 10 or 16

SELECT CONV('1', '2', 10);
--! ODPS-0130071 [1,8] Semantic analysis exception - function CONV: argument 2 must be 2, 8, 10 or 16

-- unverified: CONV of digits that the base lacks, and of 64 bits without a sign
SELECT CONV('12', 2, 10), CONV('', 10, 2), CONV('FFFFFFFFFFFFFFFF', 16, 10);
--: string, string, string
--> NULL | NULL | '18446744073709551615'

-- page: HEX, UNHEX
SELECT HEX(17), HEX(0), HEX(-10), HEX('abc'), HEX('中'), HEX(0.525), HEX(20.45BD), HEX(NULL), UNHEX('616263'), UNHEX(616263), UNHEX(NULL);
--: string, string, string, string, string, string, string, string, binary, binary, binary
--> '11' | '0' | 'FFFFFFFFFFFFFFF6' | '616263' | 'E4B8AD' | '302E353235' | '32302E3435' | NULL | X'616263' | X'616263' | NULL

SELECT UNHEX('0');
--! ODPS-0121095 Invalid arguments - 0 is not hexadecimal

SELECT HEX(true);
--! ODPS-0130071 [1,8] Semantic analysis exception - function HEX: takes a number or STRING, not BOOLEAN

-- unverified: UNHEX of what is not hexadecimal
SELECT UNHEX('zz');
--! ODPS-0121095 Invalid arguments - zz is not hexadecimal

-- recalled: ATAN2, COSH, SINH, TANH, COT, SHIFTRIGHT, ISNAN, FACTORIAL
SELECT ATAN2(1, 0), COSH(0), SINH(0), TANH(0), COT(1), SHIFTRIGHT(8, 2), ISNAN(1.0), FACTORIAL(5), FACTORIAL(21), FACTORIAL(-1);
--: double, double, double, double, double, bigint, boolean, bigint, bigint, bigint
--> 1.5707963267948966 | 1.0 | 0.0 | 0.0 | 0.6420926159343306 | 2 | false | 120 | NULL | NULL
