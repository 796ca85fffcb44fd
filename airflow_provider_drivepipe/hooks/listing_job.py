"""Lists a bucket in one MaxFrame job: workers share ranges of keys, and write what they find into a table.

The client only looks for folders, which the ranges start at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_provider_drivepipe.contracts import MANIFEST_COLUMNS, OssUri, Status
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.listing import Stretch, key_ranges
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook, SessionTags
from airflow_provider_drivepipe.lifecycle.failures import SHOWN
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS
from airflow_provider_drivepipe.pipelines.driving.options import ManifestOptions
from airflow_provider_drivepipe.sql import column_list, create_table, quote_name, quote_text
from airflow_provider_drivepipe.stages.graph import graph_building
from airflow_provider_drivepipe.stages.worker_call import WorkerCall
from airflow_provider_drivepipe.worker.listing import LISTED_COLUMNS, ListJob, list_ranges
from airflow_provider_drivepipe.worker.rows import dtypes_of

WORKERS = 16
RANGES_PER_WORKER = 8
"""Folders differ in size: several ranges each even that out, and memory holds one of them at a time."""
_OUTCOMES = 8
"""More than objects can have."""
_REQUIREMENT = "alibabacloud-oss-v2>=1.4"


def run(
    hook: MaxFrameHook, options: ManifestOptions, table: str, tags: SessionTags
) -> list[tuple[str, str, int]]:
    """List what is below the prefix; the session is closed however this ends.

    Returns how many objects had which outcome, ``ok`` or the reason to leave them out; and with 0, the paths
    of some that failed.

    :param table: name of a table to make, for rows of ``LISTED_COLUMNS``; the caller drops it.
    :param tags: what the session says of itself.

    Raises an error of our tree, also when one range alone could not be listed.
    """
    settings = hook.oss_settings.require_oss()
    workers = options.workers or WORKERS
    with oss_errors(hook.oss_settings.conn_id, settings.endpoint, options.bucket):
        ranges = key_ranges(hook.oss, options.bucket, options.prefix, workers * RANGES_PER_WORKER)
    hook.log.info("listing bucket %s below %r in %d ranges", options.bucket, options.prefix, len(ranges))
    hook.execute_sql(
        create_table(table, LISTED_COLUMNS, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False)
    )
    session = hook.open_session(tags)
    try:
        hook.run_job(session, [_graph(hook, options, ranges, min(workers, len(ranges)), table)])
    finally:
        hook.stop_session(session)
    named = "CASE WHEN `objects` = 0 THEN `video_path` ELSE '' END"
    found = hook.execute_sql(
        f"SELECT `outcome`, {named} AS named, SUM(`objects`) FROM {quote_name(table)} "
        f"GROUP BY `outcome`, {named} ORDER BY named LIMIT {_OUTCOMES + SHOWN}"
    )
    return [(str(outcome), str(path), int(number)) for outcome, path, number in found]


def videos(table: str) -> str:
    """Return a query, with an alias, of the manifest's rows in the table that :func:`run` made."""
    columns = column_list([column.name for column in MANIFEST_COLUMNS])
    return f"(SELECT {columns} FROM {quote_name(table)} WHERE `outcome` = {quote_text(Status.OK)}) listed"


def _graph(
    hook: MaxFrameHook, options: ManifestOptions, ranges: Sequence[Stretch], chunks: int, table: str
) -> Any:
    """Return the lazy job: the ranges in so many chunks, a call of the function for each of them."""
    import maxframe.dataframe as md
    import pandas as pd

    job = ListJob(
        hook.oss_access(),
        options.bucket,
        options.prefix,
        str(OssUri(hook.oss_settings.require_oss().netloc, options.bucket)),
        frozenset(each.lower() for each in options.video_extensions),
        SHOWN,
    )
    # Neighbours are often alike: they go to different workers.
    dealt = [each for first in range(chunks) for each in ranges[first::chunks]]
    cells = {"after": [each.after for each in dealt], "until": [each.until for each in dealt]}

    def listed(rows: Any) -> Any:
        return list_ranges(rows, job)

    with hook.session_options(), hook.errors(), graph_building(hook.odps):
        rows = md.DataFrame(pd.DataFrame(cells))
        if chunks > 1:
            rows = rows.mf.rebalance(num_partitions=chunks)
        call = WorkerCall(batch_rows=1, requirements=(_REQUIREMENT,))
        found = call.rows(rows, listed, dtypes_of(LISTED_COLUMNS))
        return md.to_odps_table(found, table, overwrite=True, index=False)
