-- run 1, everything is new: frames

CREATE TABLE `frames_only_frames__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "frames", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE IF NOT EXISTS `frames_only_frames` (`video_path` STRING COMMENT 'full OSS URI of the video', `video_id` STRING COMMENT
    'first 16 hex digits of SHA-256 over the object key', `frame_idx` BIGINT COMMENT
    '0-based index of the sample within the video, -1 for a failed video', `frame_time_ms` BIGINT COMMENT
    'presentation time on the video\'s own clock, in milliseconds', `image_id` STRING COMMENT '<video basename>_<frame_idx>, for people',
    `image_url` STRING COMMENT 'full OSS URI of the JPEG', `width` BIGINT COMMENT 'frame width in pixels', `height` BIGINT COMMENT
    'frame height in pixels', `etag` STRING, `status` STRING COMMENT 'ok, failed, filtered or skipped', `error_stage` STRING COMMENT
    'empty when ok, else the stage that failed the row', `error_type` STRING COMMENT 'empty when ok, else a typed reason', `error_msg`
    STRING COMMENT 'empty when ok, else at most 512 characters', `attempt` BIGINT COMMENT
    '1 for the first try of this row in this partition', `fingerprint` STRING COMMENT
    'what decides the row: a hash for each stage and one for the input, by name') PARTITIONED BY (`ds` STRING)

CREATE TABLE `frames_only_frames__<run>_units` (`video_path` STRING, `etag` STRING, `status` STRING, `error_stage` STRING, `error_type`
    STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_work` STRING, `drivepipe_wave` STRING)
    LIFECYCLE 7;
CREATE TABLE `frames_only_frames__<run>_staging` (`video_path` STRING, `video_id` STRING, `frame_idx` BIGINT, `frame_time_ms` BIGINT,
    `image_id` STRING, `image_url` STRING, `width` BIGINT, `height` BIGINT, `etag` STRING, `status` STRING, `error_stage` STRING,
    `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `frames_only_frames__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `video_path`, `etag`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, `drivepipe_work`, CASE WHEN
    `drivepipe_work` IN ('run', 'todo') THEN CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `video_path`) - 1) /
    500) AS BIGINT) AS STRING) ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `video_path`, `etag`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`video_path`, s.`etag`, SUBSTR(CONCAT(';frames=', '<hash:frames>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted,
        CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity) THEN
        d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL
        AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
        s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS `drivepipe_work`
    FROM (
      SELECT `video_path`, `etag`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER
          BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `video_path`, `etag`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, 1 AS drivepipe_usable,
            SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS
            drivepipe_identity
        FROM `driving_demo_manifest`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN `status` = 'failed' AND
            `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` =
            'frame_extraction' THEN 1 ELSE 0 END AS skipped
        FROM `frames_only_frames`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3
FROM `frames_only_frames__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `frames_only_frames`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `frames_only_frames__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM `frames_only_frames__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `frames_only_frames`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `frames_only_frames__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, '' AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND
      `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`, o.`etag`,
        o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
          `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key,
          CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
      FROM `frames_only_frames`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
      FROM `frames_only_frames__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, '' AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND
      `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
        `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, '' AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND
      `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
        CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
        `height`, `etag`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`, o.`etag`,
        o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
          `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key,
          CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
      FROM `frames_only_frames`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
      FROM `frames_only_frames__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
        `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames__<run>_staging`) n
  UNION ALL
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
        CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
        `height`, `etag`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM `frames_only_frames__<run>_staging`) t
LEFT JOIN (
  SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
  FROM `frames_only_frames__<run>_units`
  WHERE `drivepipe_work` = 'run') u ON t.unit_key = u.k
LEFT JOIN (
  SELECT '' AS k
  FROM (
    SELECT 1 AS one) n
  WHERE one = 0) r ON t.row_key = r.k

INSERT OVERWRITE TABLE `frames_only_frames` PARTITION (`ds`='20261120')
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`, `error_stage`,
    `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`, o.`etag`,
      o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
        `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key,
        CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
    FROM `frames_only_frames`
    WHERE `ds`='20261120') o
  LEFT SEMI JOIN (
    SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `frames_only_frames__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
UNION ALL
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`, `error_stage`,
    `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
      `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `frames_only_frames__<run>_staging`) n
UNION ALL
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`, `error_stage`,
    `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
      CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
      `height`, `etag`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `frames_only_frames__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

DROP TABLE IF EXISTS `frames_only_frames__<run>_staging`
DROP TABLE IF EXISTS `frames_only_frames__<run>_units`
DROP TABLE IF EXISTS `frames_only_frames__<partition>_lock`

-- run 2, there is nothing to do: frames
CREATE TABLE `frames_only_frames__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task" … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS
    c5, '' AS c6, '' AS c7
FROM (
  SELECT `video_path`, `etag`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`video_path`, s.`etag`, SUBSTR(CONCAT(';frames=', '<hash:frames>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted,
        CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity) THEN
        d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL
        AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
        s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS `drivepipe_work`
    FROM (
      SELECT `video_path`, `etag`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER
          BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `video_path`, `etag`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, 1 AS drivepipe_usable,
            SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS
            drivepipe_identity
        FROM `driving_demo_manifest`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN `status` = 'failed' AND
            `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` =
            'frame_extraction' THEN 1 ELSE 0 END AS skipped
        FROM `frames_only_frames`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `frames_only_frames`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM (
      SELECT `video_path`, `etag`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN
          `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN
          ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE
          WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
          'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
          'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
      FROM (
        SELECT s.`video_path`, s.`etag`, SUBSTR(CONCAT(';frames=', '<hash:frames>', ';input=', s.drivepipe_identity), 2) AS
            drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
            s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN
            NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max =
            CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS
            `drivepipe_work`
        FROM (
          SELECT `video_path`, `etag`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key
              ORDER BY drivepipe_identity) AS drivepipe_nth
          FROM (
            SELECT `video_path`, `etag`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, 1 AS drivepipe_usable,
                SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS
                drivepipe_identity
            FROM `driving_demo_manifest`
            WHERE `ds`='20261120') r) s
        LEFT JOIN (
          SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS
              failed, SUM(skipped) AS skipped
          FROM (
            SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
                '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
                COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN `status` = 'failed' AND
                `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` =
                'frame_extraction' THEN 1 ELSE 0 END AS skipped
            FROM `frames_only_frames`
            WHERE `ds`='20261120') p
          GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, '' AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND
      `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
        `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames`
    WHERE `ds`='20261120') c) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `etag`, `status`,
        `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `frames_only_frames`
    WHERE `ds`='20261120') c) u

DROP TABLE IF EXISTS `frames_only_frames__<partition>_lock`

-- run 3, a further unit fails, and results are missing: frames
CREATE TABLE `frames_only_frames__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task" … -- as above

CREATE TABLE `frames_only_frames__<run>_units` (`video_path` STRING, `etag` STRING, `status` STRING, `error_stage` STRING, `error_type`
    STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_work` STRING, `drivepipe_wave` STRING)
    LIFECYCLE 7;
CREATE TABLE `frames_only_frames__<run>_staging` (`video_path` STRING, `video_id` STRING, `frame_idx` BIGINT, `frame_time_ms` BIGINT,
    `image_id` STRING, `image_url` STRING, `width` BIGINT, `height` BIGINT, `etag` STRING, `status` STRING, `error_stage` STRING,
    `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `frames_only_frames__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `video_path`, `etag`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, `drivepipe_work`, CASE WHEN
    `drivepipe_work` IN ('run', 'todo') THEN CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `video_path`) - 1) /
    500) AS BIGINT) AS STRING) ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `video_path`, `etag`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`video_path`, s.`etag`, SUBSTR(CONCAT(';frames=', '<hash:frames>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted,
        CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity) THEN
        d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN TRUE THEN 'run' ELSE 'keep' END
        AS `drivepipe_work`
    FROM (
      SELECT `video_path`, `etag`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER
          BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `video_path`, `etag`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, 1 AS drivepipe_usable,
            SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS
            drivepipe_identity
        FROM `driving_demo_manifest`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN `status` = 'failed' AND
            `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` =
            'frame_extraction' THEN 1 ELSE 0 END AS skipped
        FROM `frames_only_frames`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
INSERT OVERWRITE TABLE `frames_only_frames` PARTITION (`ds`='20261120') SELECT `video_path`, `video_id`, `frame_idx`, `f … -- as above

SELECT `video_path`, `frame_idx`, `error_stage`, `error_type`, `error_msg`
FROM `frames_only_frames`
WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('frame_extraction')
ORDER BY `video_path`, `frame_idx` LIMIT 20

DROP TABLE IF EXISTS `frames_only_frames__<run>_staging`
DROP TABLE IF EXISTS `frames_only_frames__<run>_units`
DROP TABLE IF EXISTS `frames_only_frames__<partition>_lock`
