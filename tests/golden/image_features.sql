-- run 1, everything is new: image_labels

CREATE TABLE `image_features_features__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "image_labels", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE IF NOT EXISTS `image_features_features` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `width` BIGINT COMMENT
    'width of the upright image in pixels, before it was resized', `height` BIGINT COMMENT
    'height of the upright image in pixels, before it was resized', `format` STRING COMMENT
    'format of the file: JPEG, PNG, WEBP, BMP, TIFF, GIF, MPO', `mode` STRING COMMENT
    'pixel format of the file: RGB, L, CMYK, P and others', `size_bytes` BIGINT COMMENT 'size of the file in bytes', `sha256` STRING COMMENT
    'SHA-256 of the file, 64 hex digits', `phash` STRING COMMENT 'perceptual hash of the upright image, 16 hex digits', `prepared_url`
    STRING COMMENT 'full OSS URI of the prepared image', `image_embedding` STRING COMMENT 'JSON array of floats',
    `image_embedding_total_token` BIGINT COMMENT 'tokens billed for the image embedding', `status` STRING COMMENT
    'ok, failed, filtered or skipped', `error_stage` STRING COMMENT 'empty when ok, else the stage that failed the row', `error_type` STRING
    COMMENT 'empty when ok, else a typed reason', `error_msg` STRING COMMENT 'empty when ok, else at most 512 characters', `attempt` BIGINT
    COMMENT '1 for the first try of this row in this partition', `fingerprint` STRING COMMENT
    'what decides the row: a hash for each stage and one for the input, by name') PARTITIONED BY (`ds` STRING)

CREATE TABLE `image_features_features__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `status` STRING, `error_stage`
    STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_work` STRING,
    `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `image_features_features__<run>_rows` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `width` BIGINT, `height` BIGINT,
    `format` STRING, `mode` STRING, `size_bytes` BIGINT, `sha256` STRING, `phash` STRING, `prepared_url` STRING, `image_embedding` STRING,
    `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT,
    `fingerprint` STRING, `drivepipe_need_image_embedding` BIGINT) PARTITIONED BY (`drivepipe_work` STRING, `drivepipe_wave` STRING)
    LIFECYCLE 7;
CREATE TABLE `image_features_features__<run>_staging` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `width` BIGINT, `height`
    BIGINT, `format` STRING, `mode` STRING, `size_bytes` BIGINT, `sha256` STRING, `phash` STRING, `prepared_url` STRING, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `image_features_features__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `image_id`, `image_url`, `camera`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`, `drivepipe_work`,
    CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY
    `image_id`, `image_url`) - 1) / 20000) AS BIGINT) AS STRING) ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `image_id`, `image_url`, `camera`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE
      WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_preparation' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN
      ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`image_id`, s.`image_url`, s.`camera`, SUBSTR(CONCAT(';images=', '<hash:images>', ';image_embedding=',
        '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND
        d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN
        s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max
        AND d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep'
        END AS `drivepipe_work`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY
          drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `image_id`, `image_url`, `camera`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS
            STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS STRING), '')), 1, 16) AS
            drivepipe_identity
        FROM `my_images`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key, `attempt`,
            CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND `error_stage` = 'image_preparation') AND NOT (1 =
            0) THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'image_preparation' THEN 1 ELSE 0 END AS
            skipped
        FROM `image_features_features`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, '' AS c4
FROM `image_features_features__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_features_features`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_features_features__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS BIGINT))
    AS STRING) AS c3, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c4
FROM `image_features_features__<run>_rows`
GROUP BY `drivepipe_work`

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM `image_features_features__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_features_features`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_features_features__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS BIGINT))
    AS STRING) AS c3, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM `image_features_features__<run>_rows`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, '')
      AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`width`, o.`height`, o.`format`, o.`mode`, o.`size_bytes`, o.`sha256`, o.`phash`,
        o.`prepared_url`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`,
        o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
          `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
      FROM `image_features_features`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_features_features__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
    LEFT ANTI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_features_features__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS
      has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS
      has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS `height`, CAST(NULL AS STRING) AS
        `format`, CAST(NULL AS STRING) AS `mode`, CAST(NULL AS BIGINT) AS `size_bytes`, CAST(NULL AS STRING) AS `sha256`, CAST(NULL AS
        STRING) AS `phash`, CAST(NULL AS STRING) AS `prepared_url`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS
        `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`width`, o.`height`, o.`format`, o.`mode`, o.`size_bytes`, o.`sha256`, o.`phash`,
        o.`prepared_url`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`,
        o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
          `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
      FROM `image_features_features`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_features_features__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
    LEFT ANTI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_features_features__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features__<run>_staging`) n
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS `height`, CAST(NULL AS STRING) AS
        `format`, CAST(NULL AS STRING) AS `mode`, CAST(NULL AS BIGINT) AS `size_bytes`, CAST(NULL AS STRING) AS `sha256`, CAST(NULL AS
        STRING) AS `phash`, CAST(NULL AS STRING) AS `prepared_url`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS
        `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM `image_features_features__<run>_staging`) t
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
  FROM `image_features_features__<run>_units`
  WHERE `drivepipe_work` = 'run') u ON t.unit_key = u.k
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
  FROM `image_features_features__<run>_rows`
  WHERE `drivepipe_work` = 'todo') r ON t.row_key = r.k
UNION ALL
SELECT 'tokens' AS figures, CAST(SUM(`image_embedding_total_token`) AS STRING) AS c1, '' AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, ''
    AS c7
FROM (
  SELECT `image_embedding_total_token`
  FROM `image_features_features__<run>_staging`
  UNION ALL
  SELECT -`image_embedding_total_token` AS `image_embedding_total_token`
  FROM `image_features_features__<run>_rows`
  WHERE `drivepipe_work` = 'todo') t
UNION ALL
SELECT 'spending' AS figures, CAST(SUM(CASE WHEN `status` = 'ok' OR (`status` = 'failed' AND `error_stage` IN ('image_embedding')) THEN 1
    ELSE 0 END) AS STRING) AS c1, CAST(0 AS STRING) AS c2, CAST(0 AS STRING) AS c3, CAST(0 AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM `image_features_features__<run>_staging` r

INSERT OVERWRITE TABLE `image_features_features` PARTITION (`ds`='20261120')
SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`width`, o.`height`, o.`format`, o.`mode`, o.`size_bytes`, o.`sha256`, o.`phash`,
      o.`prepared_url`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`,
      o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
    FROM `image_features_features`
    WHERE `ds`='20261120') o
  LEFT SEMI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_features_features__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k
  LEFT ANTI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_features_features__<run>_rows`) r ON o.drivepipe_row_key = r.k) c
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_features_features__<run>_staging`) n
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, CAST(NULL AS BIGINT) AS `width`, CAST(NULL AS BIGINT) AS `height`, CAST(NULL AS STRING) AS
      `format`, CAST(NULL AS STRING) AS `mode`, CAST(NULL AS BIGINT) AS `size_bytes`, CAST(NULL AS STRING) AS `sha256`, CAST(NULL AS STRING)
      AS `phash`, CAST(NULL AS STRING) AS `prepared_url`, CAST(NULL AS STRING) AS `image_embedding`, CAST(NULL AS BIGINT) AS
      `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_features_features__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

DROP TABLE IF EXISTS `image_features_features__<run>_rows`
DROP TABLE IF EXISTS `image_features_features__<run>_staging`
DROP TABLE IF EXISTS `image_features_features__<run>_units`
DROP TABLE IF EXISTS `image_features_features__<partition>_lock`

-- run 2, there is nothing to do: image_labels
CREATE TABLE `image_features_features__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{" … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS
    c5, '' AS c6, '' AS c7
FROM (
  SELECT `image_id`, `image_url`, `camera`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE
      WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_preparation' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` IN
      ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
      'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
  FROM (
    SELECT s.`image_id`, s.`image_url`, s.`camera`, SUBSTR(CONCAT(';images=', '<hash:images>', ';image_embedding=',
        '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND
        d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN
        s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min = d.content_max
        AND d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN 'run' ELSE 'keep'
        END AS `drivepipe_work`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY
          drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
      FROM (
        SELECT `image_id`, `image_url`, `camera`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS
            STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS STRING), '')), 1, 16) AS
            drivepipe_identity
        FROM `my_images`
        WHERE `ds`='20261120') r) s
    LEFT JOIN (
      SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS failed,
          SUM(skipped) AS skipped
      FROM (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key, `attempt`,
            CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''), '.', COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND `error_stage` = 'image_preparation') AND NOT (1 =
            0) THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND `error_stage` = 'image_preparation' THEN 1 ELSE 0 END AS
            skipped
        FROM `image_features_features`
        WHERE `ds`='20261120') p
      GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_features_features`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM (
      SELECT `image_id`, `image_url`, `camera`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`,
          CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_preparation' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work`
          IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE
          WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
          'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
          'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
      FROM (
        SELECT s.`image_id`, s.`image_url`, s.`camera`, SUBSTR(CONCAT(';images=', '<hash:images>', ';image_embedding=',
            '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max AND
            d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, CASE WHEN
            s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT (d.content_min =
            d.content_max AND d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity)) OR (d.failed > 0 AND d.attempt < 3) THEN
            'run' ELSE 'keep' END AS `drivepipe_work`
        FROM (
          SELECT `image_id`, `image_url`, `camera`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY
              drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
          FROM (
            SELECT `image_id`, `image_url`, `camera`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS
                STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS STRING), '')), 1, 16) AS
                drivepipe_identity
            FROM `my_images`
            WHERE `ds`='20261120') r) s
        LEFT JOIN (
          SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS
              failed, SUM(skipped) AS skipped
          FROM (
            SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
                `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''), '.',
                COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
                `error_stage` = 'image_preparation') AND NOT (1 = 0) THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND
                `error_stage` = 'image_preparation' THEN 1 ELSE 0 END AS skipped
            FROM `image_features_features`
            WHERE `ds`='20261120') p
          GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'rows' AS figures, CAST('todo' AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS c5, '' AS
    c6, '' AS c7
FROM (
  SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`, CASE WHEN
      drivepipe_need_image_embedding = 1 THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding
      = 1 THEN NULL ELSE `image_embedding_total_token` END AS `image_embedding_total_token`, 'ok' AS `status`, '' AS `error_stage`, '' AS
      `error_type`, '' AS `error_msg`, CAST(CASE WHEN f.`fingerprint` = drivepipe_next THEN f.`attempt` + CASE WHEN f.`error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) AS `attempt`, drivepipe_next AS `fingerprint`, drivepipe_need_image_embedding,
      `drivepipe_work`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
        drivepipe_need_image_embedding, SUBSTR(CONCAT(';images=', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''),
        ';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=',
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')), 2) AS drivepipe_next, 'todo' AS `drivepipe_work`
    FROM (
      SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`width`, o.`height`, o.`format`, o.`mode`, o.`size_bytes`, o.`sha256`, o.`phash`,
          o.`prepared_url`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
          o.`error_msg`, o.`attempt`, o.`fingerprint`, CASE WHEN (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)',
          2), '') <> '<hash:image_embedding>' OR (((o.`status` <> 'filtered' AND o.`error_stage` = 'image_embedding') OR o.`image_embedding`
          IS NULL) AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(o.`fingerprint`,
          '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>')))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
      FROM (
        SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
            `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
        FROM `image_features_features`
        WHERE `ds`='20261120') o
      LEFT SEMI JOIN (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
        FROM (
          SELECT `image_id`, `image_url`, `camera`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS
              `status`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_preparation' ELSE '' END AS `error_stage`, CASE WHEN
              `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END
              AS `error_type`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
              'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
              'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN
              ('skip', 'budget') THEN CAST(0 AS BIGINT) ELSE CAST(drivepipe_attempt AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work`
              IN ('skip', 'budget') THEN drivepipe_wanted ELSE drivepipe_wanted END AS `fingerprint`, `drivepipe_work`
          FROM (
            SELECT s.`image_id`, s.`image_url`, s.`camera`, SUBSTR(CONCAT(';images=', '<hash:images>', ';image_embedding=',
                '<hash:image_embedding>', ';input=', s.drivepipe_identity), 2) AS drivepipe_wanted, CASE WHEN d.content_min = d.content_max
                AND d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity) THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt,
                CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN NOT (d.drivepipe_key IS NOT NULL AND d.skipped = 0) OR NOT
                (d.content_min = d.content_max AND d.content_max = CONCAT('<hash:images>', '.', s.drivepipe_identity)) OR (d.failed > 0 AND
                d.attempt < 3) THEN 'run' ELSE 'keep' END AS `drivepipe_work`
            FROM (
              SELECT `image_id`, `image_url`, `camera`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER (PARTITION BY
                  drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
              FROM (
                SELECT `image_id`, `image_url`, `camera`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS
                    STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS STRING), '')), 1, 16) AS
                    drivepipe_identity
                FROM `my_images`
                WHERE `ds`='20261120') r) s
            LEFT JOIN (
              SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, MAX(content) AS content_max, SUM(failed) AS
                  failed, SUM(skipped) AS skipped
              FROM (
                SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
                    `attempt`, CONCAT(COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''), '.',
                    COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')) AS content, CASE WHEN (`status` = 'failed' AND
                    `error_stage` = 'image_preparation') AND NOT (1 = 0) THEN 1 ELSE 0 END AS failed, CASE WHEN `status` = 'skipped' AND
                    `error_stage` = 'image_preparation' THEN 1 ELSE 0 END AS skipped
                FROM `image_features_features`
                WHERE `ds`='20261120') p
              GROUP BY drivepipe_key) d ON s.drivepipe_key = d.drivepipe_key) u) w
        WHERE `drivepipe_work` = 'keep') k ON CONCAT(COALESCE(CAST(o.`image_id` AS STRING), ''), '|', COALESCE(CAST(o.`image_url` AS
            STRING), '')) = k.drivepipe_key
      WHERE (o.`status` = 'ok' OR (o.`status` <> 'ok' AND o.`error_stage` <> 'image_preparation'))) g
    WHERE drivepipe_need_image_embedding > 0) f) r
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, '')
      AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features`
    WHERE `ds`='20261120') c) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `image_features_features`
    WHERE `ds`='20261120') c) u

DROP TABLE IF EXISTS `image_features_features__<partition>_lock`

-- run 3, a further unit fails, and results are missing: image_labels
CREATE TABLE `image_features_features__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{" … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS  … -- as above
CREATE TABLE `image_features_features__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `status` ST … -- as above

INSERT INTO TABLE `image_features_features__<run>_rows` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
    `drivepipe_need_image_embedding`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN CAST(CAST(FLOOR((ROW_NUMBER()
    OVER (PARTITION BY `drivepipe_work` ORDER BY `image_id`, `image_url`) - 1) / 10000) AS BIGINT) AS STRING) ELSE '0' END AS
    `drivepipe_wave`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`, CASE WHEN
      drivepipe_need_image_embedding = 1 THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding
      = 1 THEN NULL ELSE `image_embedding_total_token` END AS `image_embedding_total_token`, 'ok' AS `status`, '' AS `error_stage`, '' AS
      `error_type`, '' AS `error_msg`, CAST(CASE WHEN f.`fingerprint` = drivepipe_next THEN f.`attempt` + CASE WHEN f.`error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) AS `attempt`, drivepipe_next AS `fingerprint`, drivepipe_need_image_embedding,
      `drivepipe_work`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
        `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
        drivepipe_need_image_embedding, SUBSTR(CONCAT(';images=', COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)images=([^;]*)', 2), ''),
        ';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=',
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)input=([^;]*)', 2), '')), 2) AS drivepipe_next, 'todo' AS `drivepipe_work`
    FROM (
      SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`width`, o.`height`, o.`format`, o.`mode`, o.`size_bytes`, o.`sha256`, o.`phash`,
          o.`prepared_url`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
          o.`error_msg`, o.`attempt`, o.`fingerprint`, CASE WHEN (COALESCE(REGEXP_EXTRACT(o.`fingerprint`, '(^|;)image_embedding=([^;]*)',
          2), '') <> '<hash:image_embedding>' OR (((o.`status` <> 'filtered' AND o.`error_stage` = 'image_embedding') OR o.`image_embedding`
          IS NULL) AND (o.`attempt` < 3 OR o.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(o.`fingerprint`,
          '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>')))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
      FROM (
        SELECT `image_id`, `image_url`, `camera`, `width`, `height`, `format`, `mode`, `size_bytes`, `sha256`, `phash`, `prepared_url`,
            `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
        FROM `image_features_features`
        WHERE `ds`='20261120') o
      LEFT SEMI JOIN (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
        FROM `image_features_features__<run>_units`
        WHERE `drivepipe_work` = 'keep') k ON CONCAT(COALESCE(CAST(o.`image_id` AS STRING), ''), '|', COALESCE(CAST(o.`image_url` AS
            STRING), '')) = k.drivepipe_key
      WHERE (o.`status` = 'ok' OR (o.`status` <> 'ok' AND o.`error_stage` <> 'image_preparation'))) g
    WHERE drivepipe_need_image_embedding > 0) f) w

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
INSERT OVERWRITE TABLE `image_features_features` PARTITION (`ds`='20261120') SELECT `image_id`, `image_url`, `camera`, ` … -- as above

SELECT `image_id`, `image_url`, `error_stage`, `error_type`, `error_msg`
FROM `image_features_features`
WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('image_preparation', 'image_embedding')
ORDER BY `image_id`, `image_url` LIMIT 20

DROP TABLE IF EXISTS `image_features_features__<run>_rows`
DROP TABLE IF EXISTS `image_features_features__<run>_staging`
DROP TABLE IF EXISTS `image_features_features__<run>_units`
DROP TABLE IF EXISTS `image_features_features__<partition>_lock`
