-- page: DATEADD
SELECT DATEADD(DATETIME '2005-02-28 00:00:00', 1, 'dd'), DATEADD(DATETIME '2005-02-28 00:00:00', -1, 'dd'), DATEADD(DATETIME '2005-02-28 00:00:00', 20, 'mm'), DATEADD(DATETIME '2005-03-30 00:00:00', -1, 'mm'), DATEADD('2005-02-18 00:00:00', -1, 'month');
--: datetime, datetime, datetime, datetime, datetime
--> 2005-03-01 00:00:00 | 2005-02-27 00:00:00 | 2006-10-28 00:00:00 | 2005-02-28 00:00:00 | 2005-01-18 00:00:00

SELECT DATEADD(DATETIME '2005-02-28 23:00:00', 1, 'hh'), DATEADD(DATETIME '2005-02-28 23:59:00', 1, 'mi'), DATEADD(DATETIME '2005-02-28 23:59:59', 1, 'ss'), DATEADD(DATETIME '2004-02-29 00:00:00', 1, 'yyyy'), DATEADD(DATETIME '2005-02-28 00:00:00', 1, 'q');
--: datetime, datetime, datetime, datetime, datetime
--> 2005-03-01 00:00:00 | 2005-03-01 00:00:00 | 2005-03-01 00:00:00 | 2005-02-28 00:00:00 | 2005-05-28 00:00:00

SELECT DATEADD(DATE '2005-02-18', 1, 'mm'), DATEADD(DATE '2005-01-31', 1, 'month'), DATEADD(NULL, 1, 'dd'), DATEADD(DATETIME '2005-02-18 00:00:00', NULL, 'dd');
--: date, date, datetime, datetime
--> 2005-03-18 | 2005-02-28 | NULL | NULL

SELECT DATEADD(DATETIME '2005-02-18 00:00:00', 1, 'century');
--! ODPS-0130071 [1,8] Semantic analysis exception - function DATEADD: does not know the unit 'century'

SELECT DATEADD('2005-02-18', 1, 'dd');
--! ODPS-0123091 Illegal type cast - in function cast, value '2005-02-18' cannot be casted from String to Datetime

SELECT DATEADD(20050218, 1, 'dd');
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of DATEADD: cannot convert BIGINT to DATETIME

-- page: DATEDIFF (boundaries of the unit are counted)
SELECT DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'dd'), DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'mm'), DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'yyyy'), DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'hh'), DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'mi'), DATEDIFF(DATETIME '2006-01-01 00:00:00', DATETIME '2005-12-31 23:59:59', 'ss');
--: bigint, bigint, bigint, bigint, bigint, bigint
--> 1 | 1 | 1 | 1 | 1 | 1

SELECT DATEDIFF('2013-05-31 13:00:00', '2013-05-31 12:30:00', 'ss'), DATEDIFF('2013-05-31 13:00:00', '2013-05-31 12:30:00', 'mi'), DATEDIFF(DATETIME '2013-05-31 12:00:00', DATETIME '2013-06-02 00:00:00', 'dd'), DATEDIFF(DATE '2025-03-02', DATE '2025-03-01', 'dd'), DATEDIFF(DATETIME '2025-03-02 01:00:00', DATETIME '2025-03-01 23:00:00');
--: bigint, bigint, bigint, bigint, bigint
--> 1800 | 30 | -2 | 1 | 1

SELECT DATEDIFF(NULL, DATETIME '2005-12-31 23:59:59', 'dd');
--: bigint
--> NULL

SELECT DATEDIFF('2025-03-02', '2025-03-01', 'dd');
--! ODPS-0123091 Illegal type cast - in function cast, value '2025-03-01' cannot be casted from String to Datetime

SET odps.sql.type.system.odps2=true; SELECT DATEDIFF(DATE '2025-03-02', DATE '2025-03-01'), DATEDIFF(DATE '2025-03-02', DATE '2025-03-01', 'dd');
--: int, bigint
--> 1 | 1

-- recalled: DATEPART
SELECT DATEPART('2013-06-08 01:10:00', 'yyyy'), DATEPART('2013-06-08 01:10:00', 'mm'), DATEPART(DATETIME '2013-06-08 01:10:30', 'mi'), DATEPART(DATETIME '2013-06-08 01:10:30', 'ss');
--: bigint, bigint, bigint, bigint
--> 2013 | 6 | 10 | 30

-- page: DATETRUNC
SELECT DATETRUNC(DATETIME '2011-12-07 16:28:46', 'yyyy'), DATETRUNC(DATETIME '2011-12-07 16:28:46', 'month'), DATETRUNC('2011-12-07 16:28:46', 'dd'), DATETRUNC(DATETIME '2011-12-07 16:28:46', 'hh'), DATETRUNC(DATE '2011-12-07', 'mm'), DATETRUNC(DATETIME '2011-12-07 16:28:46', 'quarter');
--: datetime, datetime, datetime, datetime, date, datetime
--> 2011-01-01 00:00:00 | 2011-12-01 00:00:00 | 2011-12-07 00:00:00 | 2011-12-07 16:00:00 | 2011-12-01 | 2011-10-01 00:00:00

-- page: TO_DATE
SELECT TO_DATE('Alibaba2025-01*27', 'Alibabayyyy-mm*dd'), TO_DATE('20250112', 'yyyymmdd'), TO_DATE('202501281212', 'yyyymmddhhmi'), TO_DATE('2025-01-29'), TO_DATE('2025-01-29 10:11:12', 'yyyy-mm-dd hh:mi:ss'), TO_DATE('2025', 'yyyy');
--: datetime, datetime, datetime, date, datetime, datetime
--> 2025-01-27 00:00:00 | 2025-01-12 00:00:00 | 2025-01-28 12:12:00 | 2025-01-29 | 2025-01-29 10:11:12 | 2025-01-01 00:00:00

SELECT TO_DATE('2025112', 'yyyymmdd'), TO_DATE('Alibaba2025-12*3', 'Alibabayyyy-mm*dd'), TO_DATE('2025-24-01', 'yyyy-mm-dd'), TO_DATE(NULL, 'yyyy-mm-dd'), TO_DATE('2025-02-30', 'yyyy-mm-dd'), TO_DATE('20250112x', 'yyyymmdd');
--: datetime, datetime, datetime, datetime, datetime, datetime
--> NULL | NULL | NULL | NULL | NULL | NULL

SELECT TO_DATE(20250112, 'yyyymmdd'), TO_DATE('2025-01-12 10:20:30.456', 'yyyy-mm-dd hh:mi:ss.ff3');
--: datetime, datetime
--> 2025-01-12 00:00:00 | 2025-01-12 10:20:30.456

-- refused: formats that the page gives NULL for
SELECT TO_DATE('1234-2234', 'yyyy-yyyy');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_DATE: the format 'yyyy-yyyy' has yyyy twice

SELECT TO_DATE('12', 'mm');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_DATE: the format 'mm' has no yyyy

-- page: TO_CHAR
SELECT TO_CHAR(DATETIME '2025-03-05 14:30:00', 'yyyy-mm-dd'), TO_CHAR(DATETIME '2008-07-18 01:02:03', 'yyyymmddhhmiss'), TO_CHAR('2008-07-18 00:00:00', 'yyyy年mm月dd日'), TO_CHAR(DATE '2025-03-05', 'yyyymmdd'), TO_CHAR(DATETIME '2008-07-18 01:02:03.004', 'ss.ff3'), TO_CHAR(DATETIME '2008-07-18 01:02:03', '100%');
--: string, string, string, string, string, string
--> '2025-03-05' | '20080718010203' | '2008年07月18日' | '20250305' | '03.004' | '100%'

SELECT TO_CHAR(123), TO_CHAR(1.5), TO_CHAR(true), TO_CHAR(1.50BD), TO_CHAR(NULL);
--: string, string, string, string, string
--> '123' | '1.5' | 'true' | '1.5' | NULL

-- refused: formats with other letters
SELECT TO_CHAR(DATETIME '2008-07-18 00:00:00', 'Alibaba yyyy-mm-dd');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_CHAR: does not know the format 'Alibaba yyyy-mm-dd'

SELECT TO_CHAR('abc');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_CHAR: takes a number or BOOLEAN, or a date and a format, not STRING

-- page: DATE_FORMAT
SELECT DATE_FORMAT(TIMESTAMP '2026-11-20 01:02:03', 'yyyy-MM-dd HH:mm:ss'), DATE_FORMAT(DATETIME '2026-11-20 01:02:03', 'yyyyMMdd');
--: string, string
--> '2026-11-20 01:02:03' | '20261120'

-- refused: letters of DATE_FORMAT with more than one meaning
SELECT DATE_FORMAT(TIMESTAMP '2026-11-20 01:02:03', 'yyyy-MM-dd hh:mi:ss');
--! ODPS-0130071 [1,8] Semantic analysis exception - function DATE_FORMAT: does not know the format 'yyyy-MM-dd hh:mi:ss'

SELECT DATE_FORMAT(TIMESTAMP '2026-11-20 01:02:03', 'YYYY');
--! ODPS-0130071 [1,8] Semantic analysis exception - function DATE_FORMAT: does not know the format 'YYYY'

-- recalled: FROM_UNIXTIME, UNIX_TIMESTAMP
SELECT FROM_UNIXTIME(123456789), FROM_UNIXTIME(0), UNIX_TIMESTAMP(DATETIME '2009-03-20 11:11:00'), UNIX_TIMESTAMP('2009-03-20 11:11:00'), UNIX_TIMESTAMP(DATETIME '1970-01-01 08:00:00');
--: datetime, datetime, bigint, bigint, bigint
--> 1973-11-30 05:33:09 | 1970-01-01 08:00:00 | 1237518660 | 1237518660 | 0

SELECT UNIX_TIMESTAMP() > 1600000000, GETDATE() > DATETIME '2020-01-01 00:00:00', NOW() = GETDATE(), CURRENT_DATE() > DATE '2020-01-01', CURRENT_TIMESTAMP() IS NULL, CURRENT_TIMEZONE();
--: boolean, boolean, boolean, boolean, boolean, string
--> true | true | true | true | false | 'Asia/Shanghai'

SELECT TO_MILLIS(DATETIME '2021-11-29 00:01:00');
--: bigint
--> 1638115260000

-- page: LASTDAY, LAST_DAY
SELECT LASTDAY('2021-06-27 19:33:23'), LASTDAY(DATETIME '2020-02-01 10:00:00'), LAST_DAY('2025-03-04'), LAST_DAY('2025-07-04 11:40:00'), LAST_DAY(DATE '2024-02-03');
--: datetime, datetime, string, string, string
--> 2021-06-30 00:00:00 | 2020-02-29 00:00:00 | '2025-03-31' | '2025-07-31' | '2024-02-29'

-- page: WEEKDAY (0 is Monday)
SELECT WEEKDAY(DATETIME '2009-03-20 11:11:00'), WEEKDAY('2026-11-22 00:00:00'), WEEKDAY('2026-11-23 00:00:00');
--: bigint, bigint, bigint
--> 4 | 6 | 0

-- recalled: WEEKOFYEAR
SELECT WEEKOFYEAR('2014-12-29 00:00:00'), WEEKOFYEAR('2014-12-31 00:00:00'), WEEKOFYEAR('2013-12-28 00:00:00');
--: bigint, bigint, bigint
--> 1 | 1 | 52

-- recalled: DAYOFWEEK, DAYOFYEAR
SELECT DAYOFWEEK('2009-07-30'), DAYOFYEAR('2014-04-09');
--: bigint, bigint
--> 5 | 99

-- recalled: YEAR, QUARTER, MONTH, DAY, DAYOFMONTH, HOUR, MINUTE, SECOND
SELECT YEAR('1970-01-01'), QUARTER('1970-11-12 10:00:00'), MONTH('2014-09-01'), DAY('2014-09-01'), DAYOFMONTH('2014-09-30'), HOUR('2014-09-01 12:00:00'), MINUTE('2014-09-01 12:30:00'), SECOND('2014-09-01 12:30:45');
--: bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint
--> 1970 | 4 | 9 | 1 | 30 | 12 | 30 | 45

SET odps.sql.type.system.odps2=true; SELECT YEAR('1970-01-01'), MONTH(DATE '2014-09-01'), DAY(TIMESTAMP '2014-09-02 10:00:00');
--: int, int, int
--> 1970 | 9 | 2

SELECT YEAR(NULL), YEAR('abc');
--! ODPS-0123091 Illegal type cast - in function cast, value 'abc' cannot be casted from String to Datetime

-- recalled: EXTRACT
SELECT EXTRACT(YEAR FROM DATETIME '2019-05-01 11:21:00'), EXTRACT(MONTH FROM DATETIME '2019-05-01 11:21:00'), EXTRACT(DAY FROM DATE '2019-05-03'), EXTRACT(HOUR FROM DATETIME '2019-05-01 11:21:00'), EXTRACT(MINUTE FROM DATETIME '2019-05-01 11:21:00');
--: bigint, bigint, bigint, bigint, bigint
--> 2019 | 5 | 3 | 11 | 21

-- recalled: DATE_ADD, DATE_SUB, ADD_MONTHS
SELECT DATE_ADD(DATETIME '2005-02-28 00:00:00', 1), DATE_SUB(DATETIME '2005-03-01 00:00:00', 1), DATE_ADD('2005-02-28', 1), ADD_MONTHS('2017-02-14', 3), ADD_MONTHS('2017-01-31', 1);
--: date, date, date, string, string
--> 2005-03-01 | 2005-02-28 | 2005-03-01 | '2017-05-14' | '2017-02-28'

-- recalled: ISDATE
SELECT ISDATE('2021-10-11', 'yyyy-mm-dd'), ISDATE('2021-13-11', 'yyyy-mm-dd'), ISDATE('20211011', 'yyyy-mm-dd');
--: boolean, boolean, boolean
--> true | false | false

-- recalled: Time zone configuration operations
SET odps.sql.timezone=UTC; SELECT CAST(FROM_UNIXTIME(0) AS STRING), HOUR(FROM_UNIXTIME(0)), UNIX_TIMESTAMP(DATETIME '1970-01-01 00:00:00');
--: string, bigint, bigint
--> '1970-01-01 00:00:00' | 0 | 0

SET odps.sql.timezone=America/New_York; SELECT CAST(FROM_UNIXTIME(0) AS STRING), TO_CHAR(FROM_UNIXTIME(0), 'yyyymmddhh'), CAST(FROM_UNIXTIME(0) AS DATE), DATETRUNC(FROM_UNIXTIME(0), 'dd') = DATETIME '1969-12-31 00:00:00';
--: string, string, date, boolean
--> '1969-12-31 19:00:00' | '1969123119' | 1969-12-31 | true

SELECT CAST(FROM_UNIXTIME(0) AS STRING), CAST(born AS STRING) FROM people WHERE name = 'ann';
--: string, string
--> '1970-01-01 08:00:00' | '1996-05-01 08:30:00'

-- recalled: MONTHS_BETWEEN (months of 31 days, whole ones between equal days and between last days)
SELECT MONTHS_BETWEEN('1997-02-28 10:30:00', '1996-10-30'), MONTHS_BETWEEN('1996-10-30', '1997-02-28 10:30:00'), MONTHS_BETWEEN('1996-09-30', '1996-12-31'), MONTHS_BETWEEN(DATE '2021-11-29', DATETIME '2021-10-29 10:00:00'), MONTHS_BETWEEN(NULL, '2020-01-01');
--: double, double, double, double, double
--> 3.9495967741935485 | -3.9495967741935485 | -3.0 | 1.0 | NULL

SELECT MONTHS_BETWEEN('x', '2020-01-01');
--! ODPS-0123091 Illegal type cast - in function cast, value 'x' cannot be casted from String to Datetime

SELECT MONTHS_BETWEEN(1, '2020-01-01');
--! ODPS-0130141 [1,8] Illegal implicit type cast - argument 1 of MONTHS_BETWEEN: cannot convert BIGINT to DATETIME

-- recalled: NEXT_DAY
SELECT NEXT_DAY('2017-08-01', 'TU'), NEXT_DAY('2017-08-01 23:34:00', 'TUESDAY'), NEXT_DAY(DATETIME '2017-08-03 00:00:00', 'mon'), NEXT_DAY(NULL, 'MO');
--: string, string, string, string
--> '2017-08-08' | '2017-08-08' | '2017-08-07' | NULL

SELECT NEXT_DAY('2017-08-01', 'someday');
--! ODPS-0130071 [1,8] Semantic analysis exception - function NEXT_DAY: does not know the day 'someday'

-- page: FROM_UTC_TIMESTAMP (a BIGINT is shifted by the session's time zone too)
SELECT FROM_UTC_TIMESTAMP('1970-01-30 16:00:00', 'PST'), FROM_UTC_TIMESTAMP('1970-01-30', 'PST'), FROM_UTC_TIMESTAMP(DATETIME '1970-01-30 16:00:00', 'PST'), FROM_UTC_TIMESTAMP('nope', 'PST'), FROM_UTC_TIMESTAMP('1970-01-30', NULL);
--: timestamp, timestamp, timestamp, timestamp, timestamp
--> 1970-01-30 08:00:00 | 1970-01-29 16:00:00 | 1970-01-30 08:00:00 | NULL | NULL

SELECT FROM_UTC_TIMESTAMP(0, 'Asia/Shanghai'), FROM_UTC_TIMESTAMP(1230000, 'Etc/GMT'), FROM_UTC_TIMESTAMP(-1230000, 'Etc/GMT');
--: timestamp, timestamp, timestamp
--> 1970-01-01 16:00:00 | 1970-01-01 08:20:30 | 1970-01-01 07:39:30

SELECT FROM_UTC_TIMESTAMP(CAST(NULL AS STRING), 'PST');
--! ODPS-0121095 Invalid arguments - FROM_UTC_TIMESTAMP of NULL

SELECT FROM_UTC_TIMESTAMP('1970-01-30', 'Nowhere');
--! ODPS-0121095 Invalid arguments - Not implemented Error: Unknown TimeZone 'Nowhere'!

SELECT FROM_UTC_TIMESTAMP(1.5, 'PST');
--! ODPS-0130071 [1,8] Semantic analysis exception - function FROM_UTC_TIMESTAMP: takes a BIGINT, STRING, DATETIME or TIMESTAMP, not DOUBLE

-- unverified: dates and times plus an INTERVAL of one unit
SELECT DATE '2020-01-31' + INTERVAL '1' MONTH, DATE '2020-01-31' + INTERVAL 1 DAY, DATETIME '2020-01-31 00:00:00' - INTERVAL '2' HOUR, DATE '2020-01-01' - INTERVAL '1' YEAR, TIMESTAMP '2020-01-31 00:00:00' + INTERVAL '-2' SECONDS, CAST(NULL AS DATE) + INTERVAL '1' DAY;
--: date, date, datetime, date, timestamp, date
--> 2020-02-29 | 2020-02-01 | 2020-01-30 22:00:00 | 2019-01-01 | 2020-01-30 23:59:58 | NULL

-- refused: INTERVALs of several units, of hours with a DATE, of strings, and as values
SELECT DATE '2020-01-31' + INTERVAL '1' HOUR;
--! ODPS-0130071 [1,13] Semantic analysis exception - function DATEADD: of a DATE takes days and longer units only in the local cloud

SELECT '2020-01-31' + INTERVAL '1' DAY;
--! ODPS-0130071 [1,8] Semantic analysis exception - an INTERVAL moves a date or time, not STRING

SELECT DATE '2020-01-31' + INTERVAL '1-2' YEAR TO MONTH;
--! ODPS-0130161 [1,13] Parse exception - INTERVAL (INTERVAL '1-2' YEAR TO MONTH) is not supported by the local cloud

SELECT INTERVAL '1' DAY;
--! ODPS-0130161 [1,17] Parse exception - INTERVAL (INTERVAL '1' DAY) is not supported by the local cloud

-- refused: hours as other databases write them
SELECT TO_CHAR(GETDATE(), 'hh24:mi');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_CHAR: does not know the format 'hh24:mi'

SELECT TO_DATE('2020-01-01 10', 'yyyy-mm-dd hh24');
--! ODPS-0130071 [1,8] Semantic analysis exception - function TO_DATE: does not know the format 'yyyy-mm-dd hh24'
