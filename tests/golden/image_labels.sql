-- run 1, everything is new: labels

CREATE TABLE `image_labels_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "labels", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE IF NOT EXISTS `image_labels_labels` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING COMMENT
    'the model\'s answer, a JSON object when a label schema is set', `label_json_valid` BOOLEAN COMMENT
    'whether label_text parses and fits the label schema', `label_input_token` BIGINT COMMENT
    'prompt tokens, 0 where the response has none', `label_output_token` BIGINT COMMENT 'completion tokens, 0 where the response has none',
    `label_normalised` BIGINT COMMENT 'how many values of the label were put right, NULL without one', `image_embedding` STRING COMMENT
    'JSON array of floats', `image_embedding_total_token` BIGINT COMMENT 'tokens billed for the image embedding', `status` STRING COMMENT
    'ok, failed, filtered or skipped', `error_stage` STRING COMMENT 'empty when ok, else the stage that failed the row', `error_type` STRING
    COMMENT 'empty when ok, else a typed reason', `error_msg` STRING COMMENT 'empty when ok, else at most 512 characters', `attempt` BIGINT
    COMMENT '1 for the first try of this row in this partition', `fingerprint` STRING COMMENT
    'what decides the row: a hash for each stage and one for the input, by name') PARTITIONED BY (`ds` STRING)

CREATE TABLE `image_labels_labels__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING, `drivepipe_need_label` BIGINT, `drivepipe_need_image_embedding` BIGINT) PARTITIONED BY (`drivepipe_work`
    STRING, `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `image_labels_labels__<run>_staging` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `image_labels_labels__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
    `drivepipe_need_label`, `drivepipe_need_image_embedding`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN
    CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `image_id`, `image_url`) - 1) / 10000) AS BIGINT) AS STRING)
    ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `image_id`, `image_url`, `camera`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
      'foreign') THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 OR
      `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_input_token` END AS `label_input_token`, CASE WHEN
      drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_output_token` END AS
      `label_output_token`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL
      ELSE `label_normalised` END AS `label_normalised`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding =
      1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding_total_token` END AS
      `image_embedding_total_token`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'label' WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN 'label' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN
      ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` = 'foreign' THEN 'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE
      WHEN `drivepipe_work` = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label ELSE 0 END AS
      drivepipe_need_label, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE 0 END AS
      drivepipe_need_image_embedding, `drivepipe_work`
  FROM (
    SELECT s.*, SUBSTR(CONCAT(';label=', CASE WHEN drivepipe_need_label = 1 THEN '<hash:label>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>'
        ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
        drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
        'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_label + drivepipe_need_image_embedding > 0 THEN 'todo' ELSE 'keep' END AS
        `drivepipe_work`
    FROM (
      SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`, d.`label_text`,
          d.`label_json_valid`, d.`label_input_token`, d.`label_output_token`, d.`label_normalised`, d.`image_embedding`,
          d.`image_embedding_total_token`, d.`fingerprint` AS `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`,
          d.`status` AS drivepipe_status, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
          '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '')
          <> '<hash:label>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label') OR d.`label_text` IS NULL) AND (d.`attempt` < 3 OR
          d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>'
          AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
          COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
          drivepipe_need_label, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)',
          2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
          '<hash:image_embedding>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL)
          AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2),
          '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
          '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity)))))
          THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
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
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
            `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`, `image_embedding`,
            `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `attempt`, `fingerprint`
        FROM `image_labels_labels`
        WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(drivepipe_need_label) AS STRING) AS c4, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c5
FROM `image_labels_labels__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(drivepipe_need_label) AS STRING) AS c4, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c5,
    '' AS c6, '' AS c7
FROM `image_labels_labels__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
        o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
        o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_key, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_row_key
      FROM `image_labels_labels`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_labels_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
        o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
        o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_key, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_row_key
      FROM `image_labels_labels`
      WHERE `ds`='20261120') o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_labels_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_staging`) n
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM `image_labels_labels__<run>_staging`) t
LEFT JOIN (
  SELECT '' AS k
  FROM (
    SELECT 1 AS one) n
  WHERE one = 0) u ON t.unit_key = u.k
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` = 'todo') r ON t.row_key = r.k
UNION ALL
SELECT 'tokens' AS figures, CAST(SUM(`label_input_token`) AS STRING) AS c1, CAST(SUM(`label_output_token`) AS STRING) AS c2,
    CAST(SUM(`image_embedding_total_token`) AS STRING) AS c3, CAST(SUM(`label_normalised`) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT `label_input_token`, `label_output_token`, `image_embedding_total_token`, `label_normalised`
  FROM `image_labels_labels__<run>_staging`
  UNION ALL
  SELECT -`label_input_token` AS `label_input_token`, -`label_output_token` AS `label_output_token`, -`image_embedding_total_token` AS
      `image_embedding_total_token`, CAST(NULL AS BIGINT) AS `label_normalised`
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` = 'todo') t
UNION ALL
SELECT 'spending' AS figures, CAST(SUM(CASE WHEN `status` = 'ok' OR (`status` = 'failed' AND `error_stage` IN ('label', 'image_embedding'))
    THEN 1 ELSE 0 END) AS STRING) AS c1, CAST(0 AS STRING) AS c2, CAST(0 AS STRING) AS c3, CAST(0 AS STRING) AS c4, '' AS c5, '' AS c6, ''
    AS c7
FROM `image_labels_labels__<run>_staging` r

INSERT OVERWRITE TABLE `image_labels_labels` PARTITION (`ds`='20261120')
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
      o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
      o.`error_msg`, o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT SEMI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_labels_labels__<run>_staging`) n
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

DROP TABLE IF EXISTS `image_labels_labels__<run>_staging`
DROP TABLE IF EXISTS `image_labels_labels__<run>_units`
DROP TABLE IF EXISTS `image_labels_labels__<partition>_lock`

-- run 2, there is nothing to do: labels
CREATE TABLE `image_labels_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS c3, '' AS c4, '' AS
    c5, '' AS c6, '' AS c7
FROM (
  SELECT `image_id`, `image_url`, `camera`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
      'foreign') THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 OR
      `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_input_token` END AS `label_input_token`, CASE WHEN
      drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_output_token` END AS
      `label_output_token`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL
      ELSE `label_normalised` END AS `label_normalised`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding =
      1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding_total_token` END AS
      `image_embedding_total_token`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'label' WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN 'label' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN
      ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` = 'foreign' THEN 'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE
      WHEN `drivepipe_work` = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label ELSE 0 END AS
      drivepipe_need_label, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE 0 END AS
      drivepipe_need_image_embedding, `drivepipe_work`
  FROM (
    SELECT s.*, SUBSTR(CONCAT(';label=', CASE WHEN drivepipe_need_label = 1 THEN '<hash:label>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>'
        ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
        drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
        'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_label + drivepipe_need_image_embedding > 0 THEN 'todo' ELSE 'keep' END AS
        `drivepipe_work`
    FROM (
      SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`, d.`label_text`,
          d.`label_json_valid`, d.`label_input_token`, d.`label_output_token`, d.`label_normalised`, d.`image_embedding`,
          d.`image_embedding_total_token`, d.`fingerprint` AS `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`,
          d.`status` AS drivepipe_status, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
          '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '')
          <> '<hash:label>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label') OR d.`label_text` IS NULL) AND (d.`attempt` < 3 OR
          d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>'
          AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
          COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
          drivepipe_need_label, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)',
          2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
          '<hash:image_embedding>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL)
          AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2),
          '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
          '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity)))))
          THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
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
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
            `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`, `image_embedding`,
            `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `attempt`, `fingerprint`
        FROM `image_labels_labels`
        WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM (
      SELECT `image_id`, `image_url`, `camera`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
          'foreign') THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip',
          'budget', 'earlier', 'foreign') THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 OR
          `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_input_token` END AS `label_input_token`, CASE
          WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_output_token`
          END AS `label_output_token`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')
          THEN NULL ELSE `label_normalised` END AS `label_normalised`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN
          ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN
          drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE
          `image_embedding_total_token` END AS `image_embedding_total_token`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN
          `drivepipe_work` IN ('skip', 'budget') THEN 'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` = 'foreign' THEN
          'label' WHEN `drivepipe_work` IN ('skip', 'budget') THEN 'label' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` =
          'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN
          'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN `drivepipe_work` = 'foreign' THEN
          'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget'
          THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
          'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
          'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
          'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
          drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label ELSE 0 END
          AS drivepipe_need_label, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE 0 END AS
          drivepipe_need_image_embedding, `drivepipe_work`
      FROM (
        SELECT s.*, SUBSTR(CONCAT(';label=', CASE WHEN drivepipe_need_label = 1 THEN '<hash:label>' ELSE
            COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN
            drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
            '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS drivepipe_next, CASE WHEN s.drivepipe_nth > 1
            THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <> 'oss://<endpoint>/' THEN 'foreign' WHEN
            drivepipe_need_label + drivepipe_need_image_embedding > 0 THEN 'todo' ELSE 'keep' END AS `drivepipe_work`
        FROM (
          SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`, d.`label_text`,
              d.`label_json_valid`, d.`label_input_token`, d.`label_output_token`, d.`label_normalised`, d.`image_embedding`,
              d.`image_embedding_total_token`, d.`fingerprint` AS `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`,
              d.`status` AS drivepipe_status, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
              '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2),
              '') <> '<hash:label>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label') OR d.`label_text` IS NULL) AND
              (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2),
              '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
              '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') =
              s.drivepipe_identity))))) THEN 1 ELSE 0 END AS drivepipe_need_label, CASE WHEN (d.drivepipe_key IS NULL OR NOT
              (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR
              (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <> '<hash:image_embedding>' OR (((d.`status`
              <> 'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL) AND (d.`attempt` < 3 OR d.`error_type`
              = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' AND
              COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
              COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
              drivepipe_need_image_embedding
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
            SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
                `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`, `image_embedding`,
                `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `attempt`, `fingerprint`
            FROM `image_labels_labels`
            WHERE `ds`='20261120') d ON s.drivepipe_key = d.drivepipe_key) s) u) w) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels`
    WHERE `ds`='20261120') c) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels`
    WHERE `ds`='20261120') c) u

DROP TABLE IF EXISTS `image_labels_labels__<partition>_lock`

-- run 3, a further unit fails, and results are missing: labels
CREATE TABLE `image_labels_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS  … -- as above
CREATE TABLE `image_labels_labels__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` ST … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
INSERT OVERWRITE TABLE `image_labels_labels` PARTITION (`ds`='20261120') SELECT `image_id`, `image_url`, `camera`, `labe … -- as above

SELECT `image_id`, `image_url`, `error_stage`, `error_type`, `error_msg`
FROM `image_labels_labels`
WHERE `ds`='20261120' AND `status` = 'failed' AND `error_stage` IN ('label', 'image_embedding')
ORDER BY `image_id`, `image_url` LIMIT 20

DROP TABLE IF EXISTS `image_labels_labels__<run>_staging`
DROP TABLE IF EXISTS `image_labels_labels__<run>_units`
DROP TABLE IF EXISTS `image_labels_labels__<partition>_lock`

-- run 4, a unit is gone: labels
CREATE TABLE `image_labels_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(0 AS STRING) AS  … -- as above
CREATE TABLE `image_labels_labels__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` ST … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above
SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above

CREATE TABLE IF NOT EXISTS `image_labels_labels__kept` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING) PARTITIONED BY (`ds` STRING) LIFECYCLE 30

INSERT OVERWRITE TABLE `image_labels_labels__kept` PARTITION (`ds`='20261120')
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
      o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
      o.`error_msg`, o.`attempt`, o.`fingerprint`, o.drivepipe_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT ANTI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`) u ON o.drivepipe_key = u.k) n
UNION ALL
SELECT k.`image_id`, k.`image_url`, k.`camera`, k.`label_text`, k.`label_json_valid`, k.`label_input_token`, k.`label_output_token`,
    k.`label_normalised`, k.`image_embedding`, k.`image_embedding_total_token`, k.`status`, k.`error_stage`, k.`error_type`, k.`error_msg`,
    k.`attempt`, k.`fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
  FROM `image_labels_labels__kept`
  WHERE `ds`='20261120') k
LEFT ANTI JOIN (
  SELECT drivepipe_key AS k
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
        o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
        o.`error_msg`, o.`attempt`, o.`fingerprint`, o.drivepipe_key
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_key
      FROM `image_labels_labels`
      WHERE `ds`='20261120') o
    LEFT ANTI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_labels_labels__<run>_units`) u ON o.drivepipe_key = u.k) r) n ON k.drivepipe_key = n.k

INSERT OVERWRITE TABLE `image_labels_labels` PARTITION (`ds`='20261120') SELECT `image_id`, `image_url`, `camera`, `labe … -- as above
SELECT `image_id`, `image_url`, `error_stage`, `error_type`, `error_msg` FROM `image_labels_labels` WHERE `ds`='20261120 … -- as above
DROP TABLE IF EXISTS `image_labels_labels__<run>_staging`
DROP TABLE IF EXISTS `image_labels_labels__<run>_units`
DROP TABLE IF EXISTS `image_labels_labels__<partition>_lock`

-- run 5, the unit is back: labels
CREATE TABLE `image_labels_labels__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT '{"task … -- as above

CREATE TABLE `image_labels_labels__<run>_earlier` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING) LIFECYCLE 7;
INSERT INTO TABLE `image_labels_labels__<run>_earlier`
SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
    o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`, o.`error_msg`,
    o.`attempt`, o.`fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
  FROM `image_labels_labels`
  WHERE `ds`='20261120') o
LEFT ANTI JOIN (
  SELECT k.drivepipe_key AS k
  FROM (
    SELECT drivepipe_key, SUM(CASE WHEN `status` = 'ok' THEN 1 ELSE 0 END + CASE WHEN `label_text` IS NOT NULL AND `error_stage` <> 'label'
        AND COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' THEN 1 ELSE 0 END + CASE WHEN
        `image_embedding` IS NOT NULL AND `error_stage` <> 'image_embedding' AND COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' THEN 1 ELSE 0 END) AS current
    FROM (
      SELECT `status`, `error_stage`, `fingerprint`, `label_text`, `image_embedding`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
          COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
      FROM `image_labels_labels__kept`
      WHERE `ds`='20261120') a
    GROUP BY drivepipe_key) k
  LEFT JOIN (
    SELECT drivepipe_key, SUM(CASE WHEN `status` = 'ok' THEN 1 ELSE 0 END + CASE WHEN `label_text` IS NOT NULL AND `error_stage` <> 'label'
        AND COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' THEN 1 ELSE 0 END + CASE WHEN
        `image_embedding` IS NOT NULL AND `error_stage` <> 'image_embedding' AND COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' THEN 1 ELSE 0 END) AS current
    FROM (
      SELECT `status`, `error_stage`, `fingerprint`, `label_text`, `image_embedding`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
          COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
      FROM `image_labels_labels`
      WHERE `ds`='20261120') b
    GROUP BY drivepipe_key) p ON k.drivepipe_key = p.drivepipe_key
  WHERE p.drivepipe_key IS NULL OR k.current > p.current) c ON o.drivepipe_key = c.k
UNION ALL
SELECT r.`image_id`, r.`image_url`, r.`camera`, r.`label_text`, r.`label_json_valid`, r.`label_input_token`, r.`label_output_token`,
    r.`label_normalised`, r.`image_embedding`, r.`image_embedding_total_token`, r.`status`, r.`error_stage`, r.`error_type`, r.`error_msg`,
    r.`attempt`, r.`fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
  FROM `image_labels_labels__kept`
  WHERE `ds`='20261120') r
LEFT SEMI JOIN (
  SELECT k.drivepipe_key AS k
  FROM (
    SELECT drivepipe_key, SUM(CASE WHEN `status` = 'ok' THEN 1 ELSE 0 END + CASE WHEN `label_text` IS NOT NULL AND `error_stage` <> 'label'
        AND COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' THEN 1 ELSE 0 END + CASE WHEN
        `image_embedding` IS NOT NULL AND `error_stage` <> 'image_embedding' AND COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' THEN 1 ELSE 0 END) AS current
    FROM (
      SELECT `status`, `error_stage`, `fingerprint`, `label_text`, `image_embedding`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
          COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
      FROM `image_labels_labels__kept`
      WHERE `ds`='20261120') a
    GROUP BY drivepipe_key) k
  LEFT JOIN (
    SELECT drivepipe_key, SUM(CASE WHEN `status` = 'ok' THEN 1 ELSE 0 END + CASE WHEN `label_text` IS NOT NULL AND `error_stage` <> 'label'
        AND COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>' THEN 1 ELSE 0 END + CASE WHEN
        `image_embedding` IS NOT NULL AND `error_stage` <> 'image_embedding' AND COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' THEN 1 ELSE 0 END) AS current
    FROM (
      SELECT `status`, `error_stage`, `fingerprint`, `label_text`, `image_embedding`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|',
          COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
      FROM `image_labels_labels`
      WHERE `ds`='20261120') b
    GROUP BY drivepipe_key) p ON k.drivepipe_key = p.drivepipe_key
  WHERE p.drivepipe_key IS NULL OR k.current > p.current) d ON r.drivepipe_key = d.k;

CREATE TABLE `image_labels_labels__<run>_units` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING, `drivepipe_need_label` BIGINT, `drivepipe_need_image_embedding` BIGINT) PARTITIONED BY (`drivepipe_work`
    STRING, `drivepipe_wave` STRING) LIFECYCLE 7;
CREATE TABLE `image_labels_labels__<run>_staging` (`image_id` STRING, `image_url` STRING, `camera` BIGINT, `label_text` STRING,
    `label_json_valid` BOOLEAN, `label_input_token` BIGINT, `label_output_token` BIGINT, `label_normalised` BIGINT, `image_embedding`
    STRING, `image_embedding_total_token` BIGINT, `status` STRING, `error_stage` STRING, `error_type` STRING, `error_msg` STRING, `attempt`
    BIGINT, `fingerprint` STRING) PARTITIONED BY (`drivepipe_wave` STRING) LIFECYCLE 7;
INSERT INTO TABLE `image_labels_labels__<run>_units` PARTITION (`drivepipe_work`, `drivepipe_wave`)
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`,
    `drivepipe_need_label`, `drivepipe_need_image_embedding`, `drivepipe_work`, CASE WHEN `drivepipe_work` IN ('run', 'todo') THEN
    CAST(CAST(FLOOR((ROW_NUMBER() OVER (PARTITION BY `drivepipe_work` ORDER BY `image_id`, `image_url`) - 1) / 10000) AS BIGINT) AS STRING)
    ELSE '0' END AS `drivepipe_wave`
FROM (
  SELECT `image_id`, `image_url`, `camera`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier',
      'foreign') THEN NULL ELSE `label_text` END AS `label_text`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `label_json_valid` END AS `label_json_valid`, CASE WHEN drivepipe_need_label = 1 OR
      `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_input_token` END AS `label_input_token`, CASE WHEN
      drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `label_output_token` END AS
      `label_output_token`, CASE WHEN drivepipe_need_label = 1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL
      ELSE `label_normalised` END AS `label_normalised`, CASE WHEN drivepipe_need_image_embedding = 1 OR `drivepipe_work` IN ('skip',
      'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding` END AS `image_embedding`, CASE WHEN drivepipe_need_image_embedding =
      1 OR `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign') THEN NULL ELSE `image_embedding_total_token` END AS
      `image_embedding_total_token`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'failed' WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      'skipped' ELSE 'ok' END AS `status`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'label' WHEN `drivepipe_work` IN ('skip', 'budget')
      THEN 'label' ELSE '' END AS `error_stage`, CASE WHEN `drivepipe_work` = 'foreign' THEN 'path_outside_root' WHEN `drivepipe_work` IN
      ('skip', 'budget') THEN CASE WHEN `drivepipe_work` = 'budget' THEN 'budget' ELSE 'limit' END ELSE '' END AS `error_type`, CASE WHEN
      `drivepipe_work` = 'foreign' THEN 'image_url is not below oss://<endpoint>/' WHEN `drivepipe_work` IN ('skip', 'budget') THEN CASE
      WHEN `drivepipe_work` = 'budget' THEN 'not tried: beyond max_rows or max_calls of the run; the next run takes it up' ELSE
      'not tried: this run works on the first None input units' END ELSE '' END AS `error_msg`, CASE WHEN `drivepipe_work` IN ('skip',
      'budget') THEN CAST(0 AS BIGINT) ELSE CAST(CASE WHEN `fingerprint` = drivepipe_next THEN `attempt` + CASE WHEN `error_type` =
      'rate_limited' THEN 0 ELSE 1 END ELSE 1 END AS BIGINT) END AS `attempt`, CASE WHEN `drivepipe_work` IN ('skip', 'budget') THEN
      drivepipe_next ELSE drivepipe_next END AS `fingerprint`, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_label ELSE 0 END AS
      drivepipe_need_label, CASE WHEN `drivepipe_work` = 'todo' THEN drivepipe_need_image_embedding ELSE 0 END AS
      drivepipe_need_image_embedding, `drivepipe_work`
  FROM (
    SELECT s.*, SUBSTR(CONCAT(';label=', CASE WHEN drivepipe_need_label = 1 THEN '<hash:label>' ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`,
        '(^|;)label=([^;]*)', 2), '') END, ';image_embedding=', CASE WHEN drivepipe_need_image_embedding = 1 THEN '<hash:image_embedding>'
        ELSE COALESCE(REGEXP_EXTRACT(`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') END, ';input=', drivepipe_identity), 2) AS
        drivepipe_next, CASE WHEN s.drivepipe_nth > 1 THEN 'duplicate' WHEN SUBSTR(COALESCE(s.`image_url`, ''), 1, <length>) <>
        'oss://<endpoint>/' THEN 'foreign' WHEN drivepipe_need_label + drivepipe_need_image_embedding > 0 THEN 'todo' ELSE 'keep' END AS
        `drivepipe_work`
    FROM (
      SELECT s.`image_id`, s.`image_url`, s.`camera`, s.`drivepipe_identity`, s.`drivepipe_usable`, s.`drivepipe_nth`, d.`label_text`,
          d.`label_json_valid`, d.`label_input_token`, d.`label_output_token`, d.`label_normalised`, d.`image_embedding`,
          d.`image_embedding_total_token`, d.`fingerprint` AS `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`,
          d.`status` AS drivepipe_status, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`,
          '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '')
          <> '<hash:label>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'label') OR d.`label_text` IS NULL) AND (d.`attempt` < 3 OR
          d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2), '') = '<hash:label>'
          AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') = '<hash:image_embedding>' AND
          COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity))))) THEN 1 ELSE 0 END AS
          drivepipe_need_label, CASE WHEN (d.drivepipe_key IS NULL OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)',
          2), '') = s.drivepipe_identity) OR (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') <>
          '<hash:image_embedding>' OR (((d.`status` <> 'filtered' AND d.`error_stage` = 'image_embedding') OR d.`image_embedding` IS NULL)
          AND (d.`attempt` < 3 OR d.`error_type` = 'rate_limited' OR NOT (COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)label=([^;]*)', 2),
          '') = '<hash:label>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)image_embedding=([^;]*)', 2), '') =
          '<hash:image_embedding>' AND COALESCE(REGEXP_EXTRACT(d.`fingerprint`, '(^|;)input=([^;]*)', 2), '') = s.drivepipe_identity)))))
          THEN 1 ELSE 0 END AS drivepipe_need_image_embedding
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
        SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
            `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`, `image_embedding`,
            `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `attempt`, `fingerprint`
        FROM `image_labels_labels__<run>_earlier`
        WHERE 1 = 1) d ON s.drivepipe_key = d.drivepipe_key) s) u) w;

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivep … -- as above

SELECT 'units' AS figures, CAST(`drivepipe_work` AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(MAX(CAST(`drivepipe_wave` AS
    BIGINT)) AS STRING) AS c3, CAST(SUM(drivepipe_need_label) AS STRING) AS c4, CAST(SUM(drivepipe_need_image_embedding) AS STRING) AS c5,
    '' AS c6, '' AS c7
FROM `image_labels_labels__<run>_units`
GROUP BY `drivepipe_work`
UNION ALL
SELECT 'published' AS figures, CAST(fate AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, '' AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(CASE WHEN u.k IS NULL THEN 'removed ' ELSE 'stays ' END, o.`status`) AS fate
  FROM (
    SELECT `status`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key
    FROM `image_labels_labels`
    WHERE `ds`='20261120') o
  LEFT JOIN (
    SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`) u ON o.drivepipe_key = u.k) p
GROUP BY fate
UNION ALL
SELECT 'audit' AS figures, CAST(origin AS STRING) AS c1, CAST(`status` AS STRING) AS c2, CAST(`error_stage` AS STRING) AS c3,
    CAST(`error_type` AS STRING) AS c4, CAST(has AS STRING) AS c5, CAST(failed_alone AS STRING) AS c6, CAST(COUNT(*) AS STRING) AS c7
FROM (
  SELECT 'carried' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
        o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
        o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_key, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_row_key
      FROM `image_labels_labels__<run>_earlier`
      WHERE 1 = 1) o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_labels_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT 'new' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_staging`) n
  UNION ALL
  SELECT 'other' AS origin, `status`, `error_stage`, `error_type`, CONCAT(CASE WHEN `label_text` IS NULL THEN '0' ELSE '1' END, CASE WHEN
      `image_embedding` IS NULL THEN '0' ELSE '1' END, '') AS has, CASE WHEN 1 = 0 THEN 1 ELSE 0 END AS failed_alone
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
GROUP BY origin, `status`, `error_stage`, `error_type`, has, failed_alone
UNION ALL
SELECT 'whole' AS figures, CAST(COUNT(DISTINCT unit_key) AS STRING) AS c1, CAST(COUNT(*) AS STRING) AS c2, CAST(COUNT(DISTINCT row_key) AS
    STRING) AS c3, '' AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
        o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
        o.`error_msg`, o.`attempt`, o.`fingerprint`
    FROM (
      SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
          `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`,
          `attempt`, `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_key, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS
          drivepipe_row_key
      FROM `image_labels_labels__<run>_earlier`
      WHERE 1 = 1) o
    LEFT SEMI JOIN (
      SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
      FROM `image_labels_labels__<run>_units`
      WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_staging`) n
  UNION ALL
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o) u
UNION ALL
SELECT 'staged' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN u.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c2,
    CAST(COUNT(DISTINCT u.k) AS STRING) AS c3, CAST(SUM(CASE WHEN r.k IS NULL THEN 0 ELSE 1 END) AS STRING) AS c4, CAST(COUNT(DISTINCT r.k)
    AS STRING) AS c5, '' AS c6, '' AS c7
FROM (
  SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS unit_key,
      CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS row_key
  FROM `image_labels_labels__<run>_staging`) t
LEFT JOIN (
  SELECT '' AS k
  FROM (
    SELECT 1 AS one) n
  WHERE one = 0) u ON t.unit_key = u.k
LEFT JOIN (
  SELECT DISTINCT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` = 'todo') r ON t.row_key = r.k
UNION ALL
SELECT 'tokens' AS figures, CAST(SUM(`label_input_token`) AS STRING) AS c1, CAST(SUM(`label_output_token`) AS STRING) AS c2,
    CAST(SUM(`image_embedding_total_token`) AS STRING) AS c3, CAST(SUM(`label_normalised`) AS STRING) AS c4, '' AS c5, '' AS c6, '' AS c7
FROM (
  SELECT `label_input_token`, `label_output_token`, `image_embedding_total_token`, `label_normalised`
  FROM `image_labels_labels__<run>_staging`
  UNION ALL
  SELECT -`label_input_token` AS `label_input_token`, -`label_output_token` AS `label_output_token`, -`image_embedding_total_token` AS
      `image_embedding_total_token`, CAST(NULL AS BIGINT) AS `label_normalised`
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` = 'todo') t
UNION ALL
SELECT 'spending' AS figures, CAST(SUM(CASE WHEN `status` = 'ok' OR (`status` = 'failed' AND `error_stage` IN ('label', 'image_embedding'))
    THEN 1 ELSE 0 END) AS STRING) AS c1, CAST(0 AS STRING) AS c2, CAST(0 AS STRING) AS c3, CAST(0 AS STRING) AS c4, '' AS c5, '' AS c6, ''
    AS c7
FROM `image_labels_labels__<run>_staging` r

INSERT OVERWRITE TABLE `image_labels_labels` PARTITION (`ds`='20261120')
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT o.`image_id`, o.`image_url`, o.`camera`, o.`label_text`, o.`label_json_valid`, o.`label_input_token`, o.`label_output_token`,
      o.`label_normalised`, o.`image_embedding`, o.`image_embedding_total_token`, o.`status`, o.`error_stage`, o.`error_type`,
      o.`error_msg`, o.`attempt`, o.`fingerprint`
  FROM (
    SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`,
        `label_normalised`, `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`,
        `fingerprint`, CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_key,
        CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS drivepipe_row_key
    FROM `image_labels_labels__<run>_earlier`
    WHERE 1 = 1) o
  LEFT SEMI JOIN (
    SELECT CONCAT(COALESCE(CAST(`image_id` AS STRING), ''), '|', COALESCE(CAST(`image_url` AS STRING), '')) AS k
    FROM `image_labels_labels__<run>_units`
    WHERE `drivepipe_work` IN ('keep', 'over')) i ON o.drivepipe_key = i.k) c
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_labels_labels__<run>_staging`) n
UNION ALL
SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
    `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
FROM (
  SELECT `image_id`, `image_url`, `camera`, `label_text`, `label_json_valid`, `label_input_token`, `label_output_token`, `label_normalised`,
      `image_embedding`, `image_embedding_total_token`, `status`, `error_stage`, `error_type`, `error_msg`, `attempt`, `fingerprint`
  FROM `image_labels_labels__<run>_units`
  WHERE `drivepipe_work` IN ('skip', 'budget', 'earlier', 'foreign')) o

SELECT `image_id`, `image_url`, `error_stage`, `error_type`, `error_msg` FROM `image_labels_labels` WHERE `ds`='20261120 … -- as above
DROP TABLE IF EXISTS `image_labels_labels__<run>_earlier`
DROP TABLE IF EXISTS `image_labels_labels__<run>_staging`
DROP TABLE IF EXISTS `image_labels_labels__<run>_units`
DROP TABLE IF EXISTS `image_labels_labels__<partition>_lock`
