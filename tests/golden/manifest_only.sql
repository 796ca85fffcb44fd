-- run 1, everything is new: manifest

CREATE TABLE `manifest_only_manifest__<partition>_lock` (`owner` STRING COMMENT 'see the table\'s comment') COMMENT
    '{"task": {"dag_id": "dag", "run_id": "run1", "task_id": "manifest", "map_index": -1, "try_number": 1}, "installation": "<airflow>", "process": null}'
    LIFECYCLE 1

CREATE TABLE `manifest_only_manifest__<run>_staging` (`video_path` STRING COMMENT 'full OSS URI of the video', `size_bytes` BIGINT COMMENT
    'object size in bytes', `last_modified` STRING COMMENT 'UTC, YYYY-MM-DD HH:MM:SS', `etag` STRING COMMENT 'entity tag of the object',
    `crc64` STRING COMMENT 'CRC-64/XZ of the object, empty where the listing gives none', `storage_class` STRING COMMENT
    'OSS storage class') LIFECYCLE 7

CREATE TABLE IF NOT EXISTS `manifest_only_manifest` (`video_path` STRING, `size_bytes` BIGINT, `last_modified` STRING, `etag` STRING,
    `crc64` STRING, `storage_class` STRING) PARTITIONED BY (`ds` STRING)

SELECT 'published' AS figures, CAST(COUNT(*) AS STRING) AS c1, CAST(SUM(CASE WHEN s.`video_path` IS NULL THEN 1 ELSE 0 END) AS STRING) AS c2
FROM (
  SELECT `video_path`
  FROM `manifest_only_manifest`
  WHERE `ds`='20261120') p
LEFT JOIN (
  SELECT DISTINCT `video_path`
  FROM `manifest_only_manifest__<run>_staging`) s ON p.`video_path` = s.`video_path`

INSERT OVERWRITE TABLE `manifest_only_manifest` PARTITION (`ds`='20261120')
SELECT `video_path`, `size_bytes`, `last_modified`, `etag`, `crc64`, `storage_class`
FROM `manifest_only_manifest__<run>_staging`

DROP TABLE IF EXISTS `manifest_only_manifest__<run>_staging`
DROP TABLE IF EXISTS `manifest_only_manifest__<partition>_lock`

-- run 2, there is nothing to do: manifest
-- the same as: run 1, everything is new

-- run 3, a further unit fails, and results are missing: manifest
-- the same as: run 1, everything is new
