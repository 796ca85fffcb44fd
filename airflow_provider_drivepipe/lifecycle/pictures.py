"""Which folders of pictures no row names any more."""

from __future__ import annotations

import re

from airflow_provider_drivepipe.lifecycle.publishing import rows_to_be
from airflow_provider_drivepipe.lifecycle.tables import StageTables
from airflow_provider_drivepipe.sql import quote_name, quote_text
from airflow_provider_drivepipe.stages.stage import PictureFolder

_HASH = re.compile(r"[0-9a-f]{16}")


def other_folders(pictures: PictureFolder, found: list[str]) -> list[str]:
    """Return which of the folders in the partition's are of other configurations."""
    return [name for name in found if name != pictures.own and _HASH.fullmatch(name)]


def obsolete_folders_sql(pictures: PictureFolder, tables: StageTables, has_kept: bool) -> str:
    """Return the query for the folders that published rows name, and none of the partition to be does.

    :param has_kept: whether rows are kept for this partition, whose pictures stay as well.
    """
    start, column = f"{pictures.partition}/", quote_name(pictures.column)
    name = f"SPLIT_PART(SUBSTR({column}, {len(start) + 1}), '/', 1)"

    def folders(rows: str) -> str:
        below = f"SUBSTR({column}, 1, {len(start)}) = {quote_text(start)}"
        return f"SELECT DISTINCT {name} AS folder FROM ({rows}) r WHERE {below}"

    def rows_of(table: str) -> str:
        return f"SELECT {column} FROM {quote_name(table)} WHERE {tables.partition_filter}"

    named = folders(rows_to_be(tables, [pictures.column]))
    if has_kept:
        named += f" UNION ALL {folders(rows_of(tables.kept))}"
    return (
        f"SELECT p.folder FROM ({folders(rows_of(tables.output))}) p "
        f"LEFT ANTI JOIN ({named}) n ON p.folder = n.folder"
    )
