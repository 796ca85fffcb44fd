"""What a partition sensor waits for, and one look at whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_drivepipe.exceptions import ConfigurationError, QuotaError, TransientError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import quote_name


@dataclass(frozen=True)
class PartitionWait:
    """A partition of a table that somebody else writes.

    :param min_rows: fewest rows that the partition has to hold; 0 asks for its existence only.
    :param wait_for_table: whether a missing table is something to wait for rather than an error.
    """

    table: str
    partition: PartitionSpec
    min_rows: int = 0
    wait_for_table: bool = False

    def __str__(self) -> str:
        rows = f" with at least {self.min_rows} rows" if self.min_rows else ""
        return f"partition {self.partition} of table {self.table}{rows}"

    def look(self, hook: DrivepipeHook) -> str | None:
        """Return what is still missing, or None when there is nothing left to wait for.

        A service that cannot be reached or asks for patience is something to wait for, too. Raises any other
        error of our tree: ConfigurationError when the table is missing or has other partition columns,
        AuthenticationError when access is refused.
        """
        try:
            return self._missing(hook)
        except (TransientError, QuotaError) as error:
            return str(error)

    def _missing(self, hook: DrivepipeHook) -> str | None:
        from odps.errors import NoSuchObject, NoSuchProject

        with hook.errors():
            table = hook.odps.get_table(self.table)
            try:
                # Always asks the service; pyodps keeps what it knows of a table from one look to the next.
                table.reload()
            except NoSuchProject:
                raise
            except NoSuchObject as error:
                message = f"connection {hook.conn_id!r}: there is no table {self.table}"
                if self.wait_for_table:
                    return message
                raise ConfigurationError(f"{message}; set wait_for_table to wait for it") from error
            columns = tuple(column.name for column in table.table_schema.partitions)
            if columns != self.partition.columns:
                raise ConfigurationError(
                    f"table {self.table} is partitioned by ({', '.join(columns)}), "
                    f"which {self.partition} does not fit"
                )
            if not table.exist_partition(str(self.partition)):
                return "the partition does not exist"
        return self._missing_rows(hook) if self.min_rows else None

    def _missing_rows(self, hook: DrivepipeHook) -> str | None:
        where = self.partition.sql(" AND ")
        [[rows]] = hook.execute_sql(f"SELECT COUNT(*) FROM {quote_name(self.table)} WHERE {where}")
        return None if rows >= self.min_rows else f"the partition holds {rows} rows"
