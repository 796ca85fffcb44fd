-- run 1, everything is new: embeddings

CREATE TABLE `labeled_images_embeddings__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "embeddings", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE IF NOT EXISTS `labeled_images_embeddings` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `image_embedding` STRING COMMENT 'JSON array of floats', `image_embedding_total_token` BIGINT COMMENT
    'tokens billed for the image embedding', `label_embedding` STRING COMMENT 'JSON array of floats', `label_embedding_total_token` BIGINT
    COMMENT 'tokens billed for the label embedding', `status` STRING COMMENT 'ok, failed, filtered or skipped', `error_stage` STRING COMMENT
    'empty when ok, else the stage that failed the row', `error_type` STRING COMMENT 'empty when ok, else a typed reason', `error_msg`
    STRING COMMENT 'empty when ok, else at most 512 characters', `attempt` BIGINT COMMENT
    '1 for the first try of this row in this partition', `fingerprint` STRING COMMENT
    'what decides the row: a hash for each stage and one for the input, by name') PARTITIONED BY (`ds` STRING)

CREATE TABLE `labeled_images_embeddings__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `image_embedding` STRING, `image_embedding_total_token` BIGINT, `label_embedding` STRING, `label_embedding_total_token` BIGINT, `status`
    STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING,
    `drivepipe_need_image_embedding` BIGINT, `drivepipe_need_label_embedding` BIGINT) PARTITIONED BY (`drivepipe_work` STRING,
    `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `labeled_images_embeddings__<run>_staging` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `image_embedding` STRING, `image_embedding_total_token` BIGINT, `label_embedding` STRING, `label_embedding_total_token` BIGINT, `status`
    STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt` BIGINT, `fingerprint` STRING) PARTITIONED BY
    (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `labeled_images_embeddings__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
    `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
    `drivepipe_need_image_embedding`, `drivepipe_need_label_embedding`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN
    CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `image_id`, `image_url`) - 1) / 10000) AS BIGINT) AS STRING)
    ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding =
      1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding_total_token` END AS
      `image_embedding_total_token`, CASE WHEN drivepipe_need_label_embedding = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
      'foreign') THEN NULL ELSE `label_embedding` END AS `label_embedding`, CASE WHEN drivepipe_need_label_embedding = 1 OR `drivepipe_work`
      IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_embedding_total_token` END AS `label_embedding_total_token`, CASE
      WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`,
      CASE WHEN `drivepipe_work` = 'foreign' THEN 'image_embedding' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_embedding' ELSE
      '' END AS `error_stage`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` =
      'foreign' THEN 'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work`
      = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE
      0 END AS drivepipe_need_image_embedding, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label_embedding ELSE 0 END AS
      drivepipe_need_label_embedding, `drivepipe_work`
  FROM (
    SELECT s.*, SUBSTR(CONCAT(';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';label_embedding=', CASE WHEN
        drivepipe_need_label_embedding = 1 THEN SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16) ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
        drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
        'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_image_embedding + drivepipe_need_label_embedding > 0 THEN 'todo' ELSE 'keep'
        END AS `drivepipe_work`
    FROM (
      SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`label_text`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`,
          d.`image_embedding`, d.`image_embedding_total_token`, d.`label_embedding`, d.`label_embedding_total_token`, d.`fingerprint` AS
          `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`, d.`status` AS drivepipe_status, CASE WHEN
          (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <> '<hash:image_embedding>' OR (((d.`status` <>
          'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL) AND (d.`attempt` < 3 OR d.`error_type` =
          'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>'
          AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') = SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
          s.drivepipe_identity))))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding, CASE WHEN (d.drivepipe_key IS NULL OR NOT
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') <> SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label_embedding') OR
          d.`label_embedding` IS NULL) AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
          COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') = SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
          s.drivepipe_identity))))) THEN 1 ELSE 0 END AS drivepipe_need_label_embedding
      FROM (
        SELECT `image_id`, `image_url`, `camera`, `label_text`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER
            (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
        FROM (
          SELECT `image_id`, `image_url`, `camera`, `label_text`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
              COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS
              STRING), '')), 1, 16) AS drivepipe_identity
          FROM `my_labeled_images`
          WHERE `ds`='20261120') r) s
      LEFT JOIN (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
            `image_embedding`, `image_embedding_total_token`, `label_embedding`, `label_embedding_total_token`, `status`, `error_stage`,
            `error_type`, `attempt`, `fingerprint`
        FROM `labeled_images_embeddings`
        WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c4, CAST(SUM(drivepipe_need_label_embedding) AS
    STRING) AS c5
FROM `labeled_images_embeddings__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `labeled_images_embeddings__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c4, CAST(SUM(drivepipe_need_label_embedding) AS
    STRING) AS c5, '' AS c6, '' AS c7
FROM `labeled_images_embeddings__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `labeled_images_embeddings__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, CASE
      WHEN `label_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`image_embedding`, o.`image_embedding_total_token`,
        o.`label_embedding`, o.`label_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`,
        o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
          `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
      FROM `labeled_images_embeddings`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `labeled_images_embeddings__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `label_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, CASE
      WHEN `label_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`image_embedding`, o.`image_embedding_total_token`,
        o.`label_embedding`, o.`label_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`,
        o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
          `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
          CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
      FROM `labeled_images_embeddings`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `labeled_images_embeddings__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings__<run>_staging`) n
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM `labeled_images_embeddings__<run>_staging`) t
LEFT JOIN (
  SELECT '' AS k
  FROM (
    SELECT 1 AS one) n
  WHERE one = 0) u ON t.unit_key = u.k
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
  FROM `labeled_images_embeddings__<run>_units`
  WHERE `drivepipe_work` = 'todo') r ON t.row_key = r.k
UNION ALL
SELECT 'tokens' AS figures, CAST(SUM(`image_embedding_total_token`) AS STRING) AS c1, CAST(SUM(`label_embedding_total_token`) AS STRING) AS
    c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT `image_embedding_total_token`, `label_embedding_total_token`
  FROM `labeled_images_embeddings__<run>_staging`
  UNION ALL
  SELECT -`image_embedding_total_token` AS `image_embedding_total_token`, -`label_embedding_total_token` AS `label_embedding_total_token`
  FROM `labeled_images_embeddings__<run>_units`
  WHERE `drivepipe_work` = 'todo') t
UNION ALL
SELECT 'spending' AS figures, CAST(SUM(CASE WHEN `status` = 'ok' OR (`status` = 'failed' AND `error_stage` IN ('image_embedding',
    'label_embedding')) THEN 1 ELSE 0 END) AS STRING) AS c1, CAST(0 AS STRING) AS c2, CAST(0 AS STRING) AS c3, CAST(0 AS STRING) AS c4, ''
    AS c5, '' AS c6, '' AS c7
FROM `labeled_images_embeddings__<run>_staging` r

INSERT OVERWRITE TABLE `labeled_images_embeddings` PARTITION (`ds`='20261120')
SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
    `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`image_embedding`, o.`image_embedding_total_token`, o.`label_embedding`,
      o.`label_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`, o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') o
  LEFT SEMI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `labeled_images_embeddings__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
    `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
      `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `labeled_images_embeddings__<run>_staging`) n
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
    `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
      `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `labeled_images_embeddings__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

DROP TABLE IF EXISTS `labeled_images_embeddings__<run>_staging`
DROP TABLE IF EXISTS `labeled_images_embeddings__<run>_units`
DROP TABLE IF EXISTS `labeled_images_embeddings__<partition>_lock`

-- run 2, there is nothing to do: embeddings
CREATE TABLE `labeled_images_embeddings__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT ' … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS
    c5, '' AS c6, '' AS c7
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding =
      1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding_total_token` END AS
      `image_embedding_total_token`, CASE WHEN drivepipe_need_label_embedding = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
      'foreign') THEN NULL ELSE `label_embedding` END AS `label_embedding`, CASE WHEN drivepipe_need_label_embedding = 1 OR `drivepipe_work`
      IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_embedding_total_token` END AS `label_embedding_total_token`, CASE
      WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`,
      CASE WHEN `drivepipe_work` = 'foreign' THEN 'image_embedding' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_embedding' ELSE
      '' END AS `error_stage`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` =
      'foreign' THEN 'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work`
      = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE
      0 END AS drivepipe_need_image_embedding, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label_embedding ELSE 0 END AS
      drivepipe_need_label_embedding, `drivepipe_work`
  FROM (
    SELECT s.*, SUBSTR(CONCAT(';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';label_embedding=', CASE WHEN
        drivepipe_need_label_embedding = 1 THEN SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16) ELSE
        COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
        drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
        'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_image_embedding + drivepipe_need_label_embedding > 0 THEN 'todo' ELSE 'keep'
        END AS `drivepipe_work`
    FROM (
      SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`label_text`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`,
          d.`image_embedding`, d.`image_embedding_total_token`, d.`label_embedding`, d.`label_embedding_total_token`, d.`fingerprint` AS
          `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`, d.`status` AS drivepipe_status, CASE WHEN
          (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <> '<hash:image_embedding>' OR (((d.`status` <>
          'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL) AND (d.`attempt` < 3 OR d.`error_type` =
          'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>'
          AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') = SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
          s.drivepipe_identity))))) THEN 1 ELSE 0 END AS drivepipe_need_image_embedding, CASE WHEN (d.drivepipe_key IS NULL OR NOT
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') <> SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label_embedding') OR
          d.`label_embedding` IS NULL) AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT
          (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
          COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') = SUBSTR(MD5(CONCAT('<hash:label_embedding>',
          COALESCE(s.`label_text`, ''))), 1, 16) AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
          s.drivepipe_identity))))) THEN 1 ELSE 0 END AS drivepipe_need_label_embedding
      FROM (
        SELECT `image_id`, `image_url`, `camera`, `label_text`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER
            (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
        FROM (
          SELECT `image_id`, `image_url`, `camera`, `label_text`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
              COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url` AS
              STRING), '')), 1, 16) AS drivepipe_identity
          FROM `my_labeled_images`
          WHERE `ds`='20261120') r) s
      LEFT JOIN (
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
            `image_embedding`, `image_embedding_total_token`, `label_embedding`, `label_embedding_total_token`, `status`, `error_stage`,
            `error_type`, `attempt`, `fingerprint`
        FROM `labeled_images_embeddings`
        WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
          'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN
          drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE
          `image_embedding_total_token` END AS `image_embedding_total_token`, CASE WHEN drivepipe_need_label_embedding = 1 OR
          `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_embedding` END AS `label_embedding`, CASE WHEN
          drivepipe_need_label_embedding = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE
          `label_embedding_total_token` END AS `label_embedding_total_token`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN
          `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` = 'foreign' THEN
          'image_embedding' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'image_embedding' ELSE '' END AS `error_stage`, CASE WHEN
          `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work`
          = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` = 'foreign' THEN
          'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget'
          THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
          'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
          'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
          drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding
          ELSE 0 END AS drivepipe_need_image_embedding, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label_embedding ELSE 0 END
          AS drivepipe_need_label_embedding, `drivepipe_work`
      FROM (
        SELECT s.*, SUBSTR(CONCAT(';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';label_embedding=', CASE WHEN
            drivepipe_need_label_embedding = 1 THEN SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16) ELSE
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
            drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
            'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_image_embedding + drivepipe_need_label_embedding > 0 THEN 'todo' ELSE
            'keep' END AS `drivepipe_work`
        FROM (
          SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`label_text`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`,
              d.`image_embedding`, d.`image_embedding_total_token`, d.`label_embedding`, d.`label_embedding_total_token`, d.`fingerprint` AS
              `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`, d.`status` AS drivepipe_status, CASE WHEN
              (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
              s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
              '<hash:image_embedding>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS
              NULL) AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
              '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
              '(^|;)label_embedding=([^;]*)', 2), '') = SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16)
              AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
              drivepipe_need_image_embedding, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
              '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
              '(^|;)label_embedding=([^;]*)', 2), '') <> SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16)
              OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label_embedding') OR d.`label_embedding` IS NULL) AND (d.`attempt` < 3
              OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
              '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label_embedding=([^;]*)', 2), '') =
              SUBSTR(MD5(CONCAT('<hash:label_embedding>', COALESCE(s.`label_text`, ''))), 1, 16) AND
              COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
              drivepipe_need_label_embedding
          FROM (
            SELECT `image_id`, `image_url`, `camera`, `label_text`, drivepipe_key, drivepipe_identity, drivepipe_usable, ROW_NUMBER() OVER
                (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth
            FROM (
              SELECT `image_id`, `image_url`, `camera`, `label_text`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
                  COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key, 1 AS drivepipe_usable, SUBSTR(MD5(COALESCE(CAST(`image_url`
                  AS STRING), '')), 1, 16) AS drivepipe_identity
              FROM `my_labeled_images`
              WHERE `ds`='20261120') r) s
          LEFT JOIN (
            SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
                `image_embedding`, `image_embedding_total_token`, `label_embedding`, `label_embedding_total_token`, `status`, `error_stage`,
                `error_type`, `attempt`, `fingerprint`
            FROM `labeled_images_embeddings`
            WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `image_embedding` IS NULL THEN '0' ELSE '1' END, CASE
      WHEN `label_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') c) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `image_embedding`, `image_embedding_total_token`, `label_embedding`,
        `label_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
    FROM `labeled_images_embeddings`
    WHERE `ds`='20261120') c) u

DROP TABLE IF EXISTS `labeled_images_embeddings__<partition>_lock`

-- run 3, a further unit fails, and results are missing: embeddings
CREATE TABLE `labeled_images_embeddings__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT ' … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS  … -- as above
CREATE TABLE `labeled_images_embeddings__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_te … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
INSERT OVERWRITE TABLE `labeled_images_embeddings` PARTITION (`ds`='20261120') SELECT `image_id`, `image_url`, `camera`, … -- as above

SELECT `image_id`, `image_url`, `error_stage`, `error_type`, `error_msg`
FROM `labeled_images_embeddings`
WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('image_embedding', 'label_embedding')
ORDER BY `image_id`, `image_url` LIMIT 20

DROP TABLE IF EXISTS `labeled_images_embeddings__<run>_staging`
DROP TABLE IF EXISTS `labeled_images_embeddings__<run>_units`
DROP TABLE IF EXISTS `labeled_images_embeddings__<partition>_lock`
