"""Where a stage writes pictures, and which of its older folders no row names any more."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.pipelines.publishing import rows_to_be
from airflow_provider_drivepipe.pipelines.stage_sql import quote_name, quote_text
from airflow_provider_drivepipe.pipelines.stage_tables import StageTables

_HASH = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Pictures:
    """The pictures of one partition: each configuration has a folder of its own, named by its hash.

    :param column: output column that says where a row's picture is.
    :param partition: the folder of the partition.
    :param own: name of the folder that this run writes.
    """

    column: str
    partition: OssUri
    own: str

    def others(self, found: list[str]) -> list[str]:
        """Return which of the folders in the partition's are of other configurations."""
        return [name for name in found if name != self.own and _HASH.fullmatch(name)]

    def obsolete(self, tables: StageTables, has_kept: bool) -> str:
        """Return the query for the folders that published rows name, and none of the partition to be does.

        :param has_kept: whether rows are kept for this partition, whose pictures stay as well.
        """
        start, column = f"{self.partition}/", quote_name(self.column)
        name = f"SPLIT_PART(SUBSTR({column}, {len(start) + 1}), '/', 1)"

        def folders(rows: str) -> str:
            below = f"SUBSTR({column}, 1, {len(start)}) = {quote_text(start)}"
            return f"SELECT DISTINCT {name} AS folder FROM ({rows}) r WHERE {below}"

        def rows_of(table: str) -> str:
            return f"SELECT {column} FROM {quote_name(table)} WHERE {tables.partition_filter}"

        named = folders(rows_to_be(tables, [self.column]))
        if has_kept:
            named += f" UNION ALL {folders(rows_of(tables.kept))}"
        return (
            f"SELECT p.folder FROM ({folders(rows_of(tables.output))}) p "
            f"LEFT ANTI JOIN ({named}) n ON p.folder = n.folder"
        )
