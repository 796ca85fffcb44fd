"""Deletes the pictures of older configurations, once no row names them any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.lifecycle.pictures import obsolete_folders_sql, other_folders

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
    from airflow_provider_drivepipe.lifecycle.tables import StageTables
    from airflow_provider_drivepipe.stages.stage import PictureFolder

logger = logging.getLogger(__name__)


def obsolete_folders(hook: DrivepipeHook, tables: StageTables, pictures: PictureFolder) -> list[str]:
    """Return the folders that publishing makes obsolete; MaxCompute is asked only where there are others."""
    try:
        others = other_folders(pictures, _folders(hook, pictures.partition))
        if not others:
            return []
        has_kept = hook.has_partition(tables.kept, tables.partition)
        found = {str(name) for [name] in hook.execute_sql(obsolete_folders_sql(pictures, tables, has_kept))}
    except DrivepipeError as error:
        logger.warning("old pictures below %s are not looked for: %s", pictures.partition, error)
        return []
    return sorted(found.intersection(others))


def delete_folders(hook: DrivepipeHook, pictures: PictureFolder, names: Sequence[str]) -> None:
    """Delete folders of the partition with all that is in them; a failure is a warning."""
    for name in names:
        folder = pictures.partition.join(name)
        try:
            count = _delete(hook, folder)
        except DrivepipeError as error:
            logger.warning("old pictures below %s could not be deleted: %s", folder, error)
        else:
            logger.info("deleted %d old pictures below %s, which no row names any more", count, folder)


def _folders(hook: DrivepipeHook, place: OssUri) -> list[str]:
    import alibabacloud_oss_v2 as oss

    start = f"{place.key}/"
    request = oss.ListObjectsV2Request(bucket=place.bucket, prefix=start, delimiter="/", max_keys=1000)
    with oss_errors(hook.oss_settings.conn_id, hook.oss_settings.require_oss().endpoint):
        pages = hook.oss.list_objects_v2_paginator().iter_page(request)
        found = [str(each.prefix) for page in pages for each in page.common_prefixes or []]
    return [prefix.removeprefix(start).rstrip("/") for prefix in found]


def _delete(hook: DrivepipeHook, folder: OssUri) -> int:
    import alibabacloud_oss_v2 as oss

    count = 0
    request = oss.ListObjectsV2Request(bucket=folder.bucket, prefix=f"{folder.key}/", max_keys=1000)
    with oss_errors(hook.oss_settings.conn_id, hook.oss_settings.require_oss().endpoint):
        for page in hook.oss.list_objects_v2_paginator().iter_page(request):
            objects = [oss.DeleteObject(key=each.key) for each in page.contents or []]
            if objects:
                hook.oss.delete_multiple_objects(
                    oss.DeleteMultipleObjectsRequest(bucket=folder.bucket, objects=objects, quiet=True)
                )
            count += len(objects)
    return count
