-- run 1, everything is new: manifest

CREATE TABLE `driving_demo_manifest__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "manifest", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE `driving_demo_manifest__<run>_staging` (`video_path` STRING COMMENT 'full OSS URI of the video', `size_bytes` BIGINT COMMENT
    'object size in bytes', `last_modified` STRING COMMENT 'UTC, YYYY-MM-DD HH:MM:SS', `etag` STRING COMMENT 'entity tag of the object',
    `crc64` STRING COMMENT 'CRC-64/XZ of the object, empty where the listing gives none', `storage_class` STRING COMMENT
    'OSS storage class') LIFECYCLE 7

CREATE TABLE IF NOT EXISTS `driving_demo_manifest` (`video_path` STRING, `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING, `crc64`
    STRING, `storage_class` STRING) PARTITIONED BY (`ds` STRING)

SELECT 'published' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN s.`video_path` IS NULL THEN 1 ELSE 0 END) AS STRING) AS c2
FROM (
  SELECT `video_path`
  FROM `driving_demo_manifest`
  WHERE `ds`='20261120') p
LEFT JOIN (
  SELECT DISTINCT `video_path`
  FROM `driving_demo_manifest__<run>_staging`) s ON p.`video_path` = s.`video_path`

INSERT OVERWRITE TABLE `driving_demo_manifest` PARTITION (`ds`='20261120')
SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`
FROM `driving_demo_manifest__<run>_staging`

DROP TABLE IF EXISTS `driving_demo_manifest__<run>_staging`
DROP TABLE IF EXISTS `driving_demo_manifest__<partition>_lock`

-- run 1, everything is new: video_labels

CREATE TABLE `driving_demo_labels__<partition>_lock` (`owner` STRING) COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "video_labels", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE IF NOT EXISTS `driving_demo_labels` (`video_path` STRING, `video_id` STRING COMMENT
    'first 16 hex digits of SHA-256 over the object key', `frame_idx` BIGINT COMMENT
    '0-based index of the sample within the video, -1 for a failed video', `frame_time_ms` BIGINT COMMENT
    'presentation time on the video\'s own clock, in milliseconds', `image_id` STRING COMMENT '<video basename>_<frame_idx>, for people',
    `image_url` STRING COMMENT 'full OSS URI of the JPEG', `width` BIGINT COMMENT 'frame width in pixels', `height` BIGINT COMMENT
    'frame height in pixels', `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING, `crc64` STRING, `storage_class` STRING,
    `label_text` STRING COMMENT 'the model\'s answer, a JSON object when a label schema is set', `label_json_valid` BOOLEAN COMMENT
    'whether label_text parses and fits the label schema', `label_input_token` BIGINT COMMENT
    'prompt tokens, 0 where the response has none', `label_output_token` BIGINT COMMENT 'completion tokens, 0 where the response has none',
    `label_normalised` BIGINT COMMENT 'how many values of the label were put right, NULL without one', `image_embedding` STRING COMMENT
    'JSON array of floats', `image_embedding_total_token` BIGINT COMMENT 'tokens billed for the image embedding', `status` STRING COMMENT
    'ok, failed, filtered or skipped', `error_stage` STRING COMMENT 'empty when ok, else the stage that failed the row', `error_type` STRING
    COMMENT 'empty when ok, else a typed reason', `error_msg` STRING COMMENT 'empty when ok, else at most 512 characters', `attempt` BIGINT
    COMMENT '1 for the first try of this row in this partition', `fingerprint` STRING COMMENT
    'what decides the row: a hash for each stage and one for the input, by name') PARTITIONED BY (`ds` STRING)

CREATE TABLE `driving_demo_labels__<run>_units` (`video_path` STRING, `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING, `crc64`
    STRING, `storage_class` STRING, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT,
    `fingerprint` STRING) PARTITIONED BY (`drivepipe_work` STRING, `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `driving_demo_labels__<run>_rows` (`video_path` STRING, `video_id` STRING, `frame_idx` BIGINT, `frame_time_ms` BIGINT,
    `image_id` STRING, `image_url` STRING, `width` BIGINT, `height` BIGINT, `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING,
    `crc64` STRING, `storage_class` STRING, `label_text` STRING, `label_json_valid` BOOLEAN, `label_input_token` BIGINT,
    `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding` STRING, `image_embedding_total_token` BIGINT, `status` STRING,
    `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING, `drivepipe_need_label` BIGINT,
    `drivepipe_need_image_embedding` BIGINT) PARTITIONED BY (`drivepipe_work` STRING, `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `driving_demo_labels__<run>_staging` (`video_path` STRING, `video_id` STRING, `frame_idx` BIGINT, `frame_time_ms` BIGINT,
    `image_id` STRING, `image_url` STRING, `width` BIGINT, `height` BIGINT, `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING,
    `crc64` STRING, `storage_class` STRING, `label_text` STRING, `label_json_valid` BOOLEAN, `label_input_token` BIGINT,
    `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding` STRING, `image_embedding_total_token` BIGINT, `status` STRING,
    `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave`
    STRING) LIFECYCLE 7;
INSERT INTO TABLE `driving_demo_labels__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, `status`, `error_stage`, `error_type`, `error_msg`,
    `attempt`, `fingerprint`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN CAST(CAST(FLOOR((ROW_NUMBER() OVER
    (PARTITION BY `drivepipe_work` ORDER BY `video_path`) - 1) / 500) AS BIGINT) AS STRING) ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CASE WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS
      `error_stage`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit'
      END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`video_path`, s.`size_bytes`, s.`last_modified`, s.`etag`, s.`crc64`, s.`storage_class`, SUBSTR(CONCAT(';frames=',
        '<hash:frames>', ';label=', '<hash:label>', ';image_embedding=', '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS
        drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
        s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT
        (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>',
        '.', '', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS `drivepipe_work`
    FROM (
      SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, drivepipe_key, drivepipe_identity,
          drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, COALESCE(CAST(`video_path` AS STRING), '') AS
            drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS
            STRING), ''))), 1, 16) AS drivepipe_identity
        FROM `driving_demo_manifest`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
            `error_stage` = 'frame_extraction') AND NOT (`status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` = 'frame_extraction')
            THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS skipped
        FROM `driving_demo_labels`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(`size_bytes`) AS STRING) AS c4, '' AS c5
FROM `driving_demo_labels__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `driving_demo_labels__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS BIGINT))
    AS STRING) AS c3, CAST(SUM(drivepipe_need_label) AS STRING) AS c4, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c5
FROM `driving_demo_labels__<run>_rows`
GROUP BY `drivepipe_work`

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(`size_bytes`) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM `driving_demo_labels__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `driving_demo_labels__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS BIGINT))
    AS STRING) AS c3, CAST(SUM(drivepipe_need_label) AS STRING) AS c4, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c5, '' AS c6,
    '' AS c7
FROM `driving_demo_labels__<run>_rows`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
      'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`,
        o.`size_bytes`, o.`last_modified`, o.`etag`, o.`crc64`, o.`storage_class`, o.`label_text`, o.`label_json_valid`,
        o.`label_input_token`, o.`label_output_token`, o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`,
        o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
          `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, CONCAT(COALESCE(CAST(`video_path` AS
          STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
      FROM `driving_demo_labels`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
      FROM `driving_demo_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
    LEFT ANTI JOIN (
      SELECT CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS k
      FROM `driving_demo_labels__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
      'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `driving_demo_labels__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
      'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
        CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
        `height`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CAST(NULL AS STRING) AS `label_text`, CAST(NULL AS
        BOOLEAN) AS `label_json_valid`, CAST(NULL AS BIGINT) AS `label_input_token`, CAST(NULL AS BIGINT) AS `label_output_token`, CAST(NULL
        AS BIGINT) AS `label_normalised`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS `image_embedding_total_token`,
        `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `driving_demo_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`,
        o.`size_bytes`, o.`last_modified`, o.`etag`, o.`crc64`, o.`storage_class`, o.`label_text`, o.`label_json_valid`,
        o.`label_input_token`, o.`label_output_token`, o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`,
        o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
          `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, CONCAT(COALESCE(CAST(`video_path` AS
          STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
      FROM `driving_demo_labels`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
      FROM `driving_demo_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
    LEFT ANTI JOIN (
      SELECT CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS k
      FROM `driving_demo_labels__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
  UNION ALL
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `driving_demo_labels__<run>_staging`) n
  UNION ALL
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
        CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
        `height`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CAST(NULL AS STRING) AS `label_text`, CAST(NULL AS
        BOOLEAN) AS `label_json_valid`, CAST(NULL AS BIGINT) AS `label_input_token`, CAST(NULL AS BIGINT) AS `label_output_token`, CAST(NULL
        AS BIGINT) AS `label_normalised`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS `image_embedding_total_token`,
        `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `driving_demo_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM `driving_demo_labels__<run>_staging`) t
LEFT JOIN (
  SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
  FROM `driving_demo_labels__<run>_units`
  WHERE `drivepipe_work` = 'run') u ON t.unit_key = u.k
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS k
  FROM `driving_demo_labels__<run>_rows`
  WHERE `drivepipe_work` = 'todo') r ON t.row_key = r.k
UNION ALL
SELECT 'tokens' AS figures, CAST(SUM(`label_input_token`) AS STRING) AS c1, CAST(SUM(`label_output_token`) AS STRING) AS c2,
    CAST(SUM(`image_embedding_total_token`) AS STRING) AS c3, CAST(SUM(`label_normalised`) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT `label_input_token`, `label_output_token`, `image_embedding_total_token`, `label_normalised`
  FROM `driving_demo_labels__<run>_staging`
  UNION ALL
  SELECT -`label_input_token` AS `label_input_token`, -`label_output_token` AS `label_output_token`, -`image_embedding_total_token` AS
      `image_embedding_total_token`, CAST(NULL AS BIGINT) AS `label_normalised`
  FROM `driving_demo_labels__<run>_rows`
  WHERE `drivepipe_work` = 'todo') t
UNION ALL
SELECT 'spending' AS figures, CAST(SUM(asked) AS STRING) AS c1, CAST(SUM(n) AS STRING) AS c2, CAST(SUM(CASE WHEN last_idx > first_idx THEN n
    ELSE 0 END) AS STRING) AS c3, CAST(SUM(CASE WHEN last_idx > first_idx THEN n * (last_time - first_time) / (last_idx - first_idx) ELSE 0
    END) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT SUM(CASE WHEN `status` = 'ok' OR (`status` = 'failed' AND `error_stage` IN ('label', 'image_embedding')) THEN 1 ELSE 0 END) AS
      asked, SUM(CASE WHEN `frame_time_ms` IS NULL OR `status` = 'skipped' THEN 0 ELSE 1 END) AS n, MIN(`frame_time_ms`) AS first_time,
      MAX(`frame_time_ms`) AS last_time, MIN(CASE WHEN `frame_time_ms` IS NULL THEN NULL ELSE `frame_idx` END) AS first_idx, MAX(CASE WHEN
      `frame_time_ms` IS NULL THEN NULL ELSE `frame_idx` END) AS last_idx
  FROM `driving_demo_labels__<run>_staging` r
  GROUP BY COALESCE(CAST(`video_path` AS STRING), '')) v

INSERT OVERWRITE TABLE `driving_demo_labels` PARTITION (`ds`='20261120')
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
    `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`, o.`size_bytes`,
      o.`last_modified`, o.`etag`, o.`crc64`, o.`storage_class`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`,
      o.`label_output_token`, o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`,
      o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
        COALESCE(CAST(`frame_idx` AS STRING), '')) AS drivepipe_row_key
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') o
  LEFT SEMI JOIN (
    SELECT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM `driving_demo_labels__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
  LEFT ANTI JOIN (
    SELECT CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`frame_idx` AS STRING), '')) AS k
    FROM `driving_demo_labels__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
UNION ALL
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
    `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
      `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `driving_demo_labels__<run>_staging`) n
UNION ALL
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
    `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `video_path`, CAST(NULL AS STRING) AS `video_id`, CAST(-1 AS BIGINT) AS `frame_idx`, CAST(NULL AS BIGINT) AS `frame_time_ms`,
      CAST(NULL AS STRING) AS `image_id`, CAST(NULL AS STRING) AS `image_url`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS
      `height`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CAST(NULL AS STRING) AS `label_text`, CAST(NULL AS BOOLEAN)
      AS `label_json_valid`, CAST(NULL AS BIGINT) AS `label_input_token`, CAST(NULL AS BIGINT) AS `label_output_token`, CAST(NULL AS BIGINT)
      AS `label_normalised`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS `image_embedding_total_token`, `status`,
      `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `driving_demo_labels__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

DROP TABLE IF EXISTS `driving_demo_labels__<run>_rows`
DROP TABLE IF EXISTS `driving_demo_labels__<run>_staging`
DROP TABLE IF EXISTS `driving_demo_labels__<run>_units`
DROP TABLE IF EXISTS `driving_demo_labels__<partition>_lock`

-- run 2, there is nothing to do: manifest
-- the same as: run 1, everything is new

-- run 2, there is nothing to do: video_labels
CREATE TABLE `driving_demo_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS
    c5, '' AS c6, '' AS c7
FROM (
  SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CASE WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS
      `error_stage`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit'
      END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`video_path`, s.`size_bytes`, s.`last_modified`, s.`etag`, s.`crc64`, s.`storage_class`, SUBSTR(CONCAT(';frames=',
        '<hash:frames>', ';label=', '<hash:label>', ';image_embedding=', '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS
        drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
        s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT
        (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>',
        '.', '', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS `drivepipe_work`
    FROM (
      SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, drivepipe_key, drivepipe_identity,
          drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, COALESCE(CAST(`video_path` AS STRING), '') AS
            drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|', COALESCE(CAST(`etag` AS
            STRING), ''))), 1, 16) AS drivepipe_identity
        FROM `driving_demo_manifest`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
            `error_stage` = 'frame_extraction') AND NOT (`status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` = 'frame_extraction')
            THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'frame_extraction' THEN 1 ELSE 0 END AS skipped
        FROM `driving_demo_labels`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT COALESCE(CAST(`video_path` AS STRING), '') AS k
    FROM (
      SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CASE WHEN `drivepipe_work` IN ('skip', 'budget')
          THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction' ELSE '' END AS
          `error_stage`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE
          'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` =
          'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
          'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
      FROM (
        SELECT s.`video_path`, s.`size_bytes`, s.`last_modified`, s.`etag`, s.`crc64`, s.`storage_class`, SUBSTR(CONCAT(';frames=',
            '<hash:frames>', ';label=', '<hash:label>', ';image_embedding=', '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2)
            AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
            s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN
            NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max =
            CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END AS
            `drivepipe_work`
        FROM (
          SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, drivepipe_key, drivepipe_identity,
              drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
          FROM (
            SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, COALESCE(CAST(`video_path` AS STRING), '')
                AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
                COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS drivepipe_identity
            FROM `driving_demo_manifest`
            WHERE `ds`='20261120') r) s
        LEFT JOIN (
          SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS
              failed, SUM(skipped) AS skipped
          FROM (
            SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
                '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
                COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
                `error_stage` = 'frame_extraction') AND NOT (`status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
                'frame_extraction') THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'frame_extraction' THEN
                1 ELSE 0 END AS skipped
            FROM `driving_demo_labels`
            WHERE `ds`='20261120') p
          GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST('todo' AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS c5, '' AS
    c6, '' AS c7
FROM (
  SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
      `etag`, `crc64`, `storage_class`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN
      drivepipe_need_label = 1 THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 THEN NULL
      ELSE `label_input_token` END AS `label_input_token`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_output_token` END AS
      `label_output_token`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_normalised` END AS `label_normalised`, CASE WHEN
      drivepipe_need_image_embedding = 1 THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding
      = 1 THEN NULL ELSE `image_embedding_total_token` END AS `image_embedding_total_token`, 'ok' AS `status`, '' AS `error_stage`, '' AS
      `error_type`, '' AS `error_msg`, CAST(CASE WHEN f.`fingerprint` = drivepipe_next THEN f.`attempt` + CASE WHEN f.`error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) AS `attempt`, drivepipe_next AS `fingerprint`, drivepipe_need_label,
      drivepipe_need_image_embedding, `drivepipe_work`
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, drivepipe_need_label, drivepipe_need_image_embedding, SUBSTR(CONCAT(';frames=',
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)frames=([^;]*)', 2), ''), ';label=', CASE WHEN drivepipe_need_label = 1 THEN
        '<hash:label>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN
        drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')), 2) AS
        drivepipe_next, 'todo' AS `drivepipe_work`
    FROM (
      SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`,
          o.`size_bytes`, o.`last_modified`, o.`etag`, o.`crc64`, o.`storage_class`, o.`label_text`, o.`label_json_valid`,
          o.`label_input_token`, o.`label_output_token`, o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`,
          o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`, CASE WHEN
          (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2), '') <> '<hash:label>' OR (((o.`status` <> 'filtered' AND
          o.`error_stage` = 'label') OR o.`label_text` IS NULL) AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT
          (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' AND
          COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>')))) THEN 1 ELSE 0 END
          AS drivepipe_need_label, CASE WHEN (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
          '<hash:image_embedding>' OR (((o.`status` <> 'filtered' AND o.`error_stage` = 'image_embedding') OR o.`image_embedding` IS NULL)
          AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2),
          '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
          '<hash:image_embedding>')))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
      FROM (
        SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
            `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
            `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
            `attempt`, `fingerprint`
        FROM `driving_demo_labels`
        WHERE `ds`='20261120') o
      LEFT SEMI JOIN (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
        FROM (
          SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, CASE WHEN `drivepipe_work` IN ('skip',
              'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'frame_extraction'
              ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
              'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN
              `drivepipe_work` = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
              'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN
              ('skip', 'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work`
              IN ('skip', 'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
          FROM (
            SELECT s.`video_path`, s.`size_bytes`, s.`last_modified`, s.`etag`, s.`crc64`, s.`storage_class`, SUBSTR(CONCAT(';frames=',
                '<hash:frames>', ';label=', '<hash:label>', ';image_embedding=', '<hash:image_embedding>', ';input=', s.drivepipe_identity),
                2) AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND d.content_max = CONCAT('<hash:frames>', '.', '', '.',
                s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate'
                WHEN NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max AND d.content_max =
                CONCAT('<hash:frames>', '.', '', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep' END
                AS `drivepipe_work`
            FROM (
              SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, drivepipe_key, drivepipe_identity,
                  drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
              FROM (
                SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`, COALESCE(CAST(`video_path` AS STRING),
                    '') AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
                    COALESCE(CAST(`etag` AS STRING), ''))), 1, 16) AS drivepipe_identity
                FROM `driving_demo_manifest`
                WHERE `ds`='20261120') r) s
            LEFT JOIN (
              SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS
                  failed, SUM(skipped) AS skipped
              FROM (
                SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key, `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`,
                    '(^|;)frames=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)rules=([^;]*)', 2), ''), '.',
                    COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
                    `error_stage` = 'frame_extraction') AND NOT (`status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
                    'frame_extraction') THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'frame_extraction'
                    THEN 1 ELSE 0 END AS skipped
                FROM `driving_demo_labels`
                WHERE `ds`='20261120') p
              GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w
        WHERE `drivepipe_work` = 'keep') k ON COALESCE(CAST(o.`video_path` AS STRING), '') = k.drivepipe_key
      WHERE (o.`status` = 'ok' OR (o.`status` <> 'ok' AND o.`error_stage` <> 'frame_extraction'))) g
    WHERE drivepipe_need_label + drivepipe_need_image_embedding > 0) f) r
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN `status` = 'failed' AND `frame_idx` >= 0 AND `error_stage` =
      'frame_extraction' THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') c) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT COALESCE(CAST(`video_path` AS STRING), '') AS unit_key, CONCAT(COALESCE(CAST(`video_path` AS STRING), ''), '|',
      COALESCE(CAST(`frame_idx` AS STRING), '')) AS row_key
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `driving_demo_labels`
    WHERE `ds`='20261120') c) u

DROP TABLE IF EXISTS `driving_demo_labels__<partition>_lock`

-- run 3, a further unit fails, and results are missing: manifest
-- the same as: run 1, everything is new

-- run 3, a further unit fails, and results are missing: video_labels
CREATE TABLE `driving_demo_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS  … -- as above
CREATE TABLE `driving_demo_labels__<run>_units` (`video_path` STRING COMMENT 'full OSS URI of the video', `size_bytes` B … -- as above

INSERT INTO TABLE `driving_demo_labels__<run>_rows` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
    `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
    `drivepipe_need_label`, `drivepipe_need_image_embedding`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN
    CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `video_path`, `frame_idx`) - 1) / 10000) AS BIGINT) AS
    STRING) ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`, `last_modified`,
      `etag`, `crc64`, `storage_class`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN
      drivepipe_need_label = 1 THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 THEN NULL
      ELSE `label_input_token` END AS `label_input_token`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_output_token` END AS
      `label_output_token`, CASE WHEN drivepipe_need_label = 1 THEN NULL ELSE `label_normalised` END AS `label_normalised`, CASE WHEN
      drivepipe_need_image_embedding = 1 THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding
      = 1 THEN NULL ELSE `image_embedding_total_token` END AS `image_embedding_total_token`, 'ok' AS `status`, '' AS `error_stage`, '' AS
      `error_type`, '' AS `error_msg`, CAST(CASE WHEN f.`fingerprint` = drivepipe_next THEN f.`attempt` + CASE WHEN f.`error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) AS `attempt`, drivepipe_next AS `fingerprint`, drivepipe_need_label,
      drivepipe_need_image_embedding, `drivepipe_work`
  FROM (
    SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
        `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, drivepipe_need_label, drivepipe_need_image_embedding, SUBSTR(CONCAT(';frames=',
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)frames=([^;]*)', 2), ''), ';label=', CASE WHEN drivepipe_need_label = 1 THEN
        '<hash:label>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN
        drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')), 2) AS
        drivepipe_next, 'todo' AS `drivepipe_work`
    FROM (
      SELECT o.`video_path`, o.`video_id`, o.`frame_idx`, o.`frame_time_ms`, o.`image_id`, o.`image_url`, o.`width`, o.`height`,
          o.`size_bytes`, o.`last_modified`, o.`etag`, o.`crc64`, o.`storage_class`, o.`label_text`, o.`label_json_valid`,
          o.`label_input_token`, o.`label_output_token`, o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`,
          o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`, CASE WHEN
          (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2), '') <> '<hash:label>' OR (((o.`status` <> 'filtered' AND
          o.`error_stage` = 'label') OR o.`label_text` IS NULL) AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT
          (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' AND
          COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>')))) THEN 1 ELSE 0 END
          AS drivepipe_need_label, CASE WHEN (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
          '<hash:image_embedding>' OR (((o.`status` <> 'filtered' AND o.`error_stage` = 'image_embedding') OR o.`image_embedding` IS NULL)
          AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)label=([^;]*)', 2),
          '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
          '<hash:image_embedding>')))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
      FROM (
        SELECT `video_path`, `video_id`, `frame_idx`, `frame_time_ms`, `image_id`, `image_url`, `width`, `height`, `size_bytes`,
            `last_modified`, `etag`, `crc64`, `storage_class`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
            `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
            `attempt`, `fingerprint`
        FROM `driving_demo_labels`
        WHERE `ds`='20261120') o
      LEFT SEMI JOIN (
        SELECT COALESCE(CAST(`video_path` AS STRING), '') AS drivepipe_key
        FROM `driving_demo_labels__<run>_units`
        WHERE `drivepipe_work` = 'keep') k ON COALESCE(CAST(o.`video_path` AS STRING), '') = k.drivepipe_key
      WHERE (o.`status` = 'ok' OR (o.`status` <> 'ok' AND o.`error_stage` <> 'frame_extraction'))) g
    WHERE drivepipe_need_label + drivepipe_need_image_embedding > 0) f) w

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
INSERT OVERWRITE TABLE `driving_demo_labels` PARTITION (`ds`='20261120') SELECT `video_path`, `video_id`, `frame_idx`, ` … -- as above

SELECT `video_path`, `frame_idx`, `error_stage`, `error_type`, `error_msg`
FROM `driving_demo_labels`
WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('frame_extraction', 'label', 'image_embedding')
ORDER BY `video_path`, `frame_idx` LIMIT 20

DROP TABLE IF EXISTS `driving_demo_labels__<run>_rows`
DROP TABLE IF EXISTS `driving_demo_labels__<run>_staging`
DROP TABLE IF EXISTS `driving_demo_labels__<run>_units`
DROP TABLE IF EXISTS `driving_demo_labels__<partition>_lock`
