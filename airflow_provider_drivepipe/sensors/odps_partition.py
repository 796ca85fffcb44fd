"""OdpsPartitionSensor: waits for a partition of a MaxCompute table that others write."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider_drivepipe import exceptions
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.partition_wait import PartitionWait
from airflow_provider_drivepipe.lineage import Data, LineageOperator
from airflow_provider_drivepipe.operators.partition import partition_spec_from_context
from airflow_provider_drivepipe.operators.retry import with_retry_policy
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.triggers import FIRST_POLL_DELAY
from airflow_provider_drivepipe.triggers.odps_partition import OdpsPartitionTrigger, WaitEnd

if TYPE_CHECKING:
    from airflow.sdk import Context


TRIGGERER_GRACE = timedelta(minutes=10)
"""How long after ``timeout`` Airflow ends the wait when no triggerer has done so."""


class OdpsPartitionSensor(LineageOperator, BaseSensorOperator):
    """Waits until a partition of a table exists; returns ``{"table", "partition"}``.

    The partition is the run's own, or the one that ``partition_spec`` names. While the service cannot be
    reached the sensor goes on waiting. A missing table, other partition columns and refused access fail the
    task at once and without retries, also with ``soft_fail``, which is for a partition that did not come
    within ``timeout``.

    :param table: ``table`` or ``project.table`` (templated).
    :param partition: which partition a run owns, see :class:`PartitionOptions`; daily ``ds`` by default.
    :param partition_spec: the partition itself instead, such as ``ds=20261120,region=east`` (templated).
    :param min_rows: wait until the partition holds that many rows; each look then runs a ``COUNT(*)``. For
        tables whose writers create a partition first and fill it later.
    :param wait_for_table: wait for a missing table, too, instead of failing.
    :param conn_id: connection of type ``drivepipe``.
    :param deferrable: wait in the triggerer, else in the worker as ``mode`` says; unless given, as
        ``[operators] default_deferrable`` says.
    """

    template_fields: Sequence[str] = ("table", "partition_spec")
    ui_color = "#d9ead3"

    def __init__(
        self,
        *,
        table: str,
        partition: PartitionOptions | None = None,
        partition_spec: str | None = None,
        min_rows: int = 0,
        wait_for_table: bool = False,
        conn_id: str = DrivepipeHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**with_retry_policy(kwargs))
        if partition is not None and partition_spec is not None:
            raise ValueError("partition and partition_spec exclude each other")
        self.table = table
        self.partition = partition
        self.partition_spec = partition_spec
        self.min_rows = min_rows
        self.wait_for_table = wait_for_table
        self.conn_id = conn_id
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Look once; when the partition is not there yet, wait."""
        if not self.deferrable:
            return self._execute_in_worker(context)
        wait = self._wait(context)
        missing = wait.look(self._hook(context))
        if missing is not None:
            self._defer(context, wait, missing)
        return self._found(wait)

    def _defer(self, context: Context, wait: PartitionWait, missing: str) -> NoReturn:
        started = time.time()
        self.log.info("waiting for %s since %s: %s", wait, _utc(started), missing)
        self.defer(
            trigger=OdpsPartitionTrigger(
                conn_id=self.conn_id,
                table=wait.table,
                partition_columns=list(wait.partition.columns),
                partition_values=list(wait.partition.values),
                min_rows=wait.min_rows,
                wait_for_table=wait.wait_for_table,
                deadline=started + self.timeout,
                first_poll_delay=max(FIRST_POLL_DELAY, min(self.poke_interval, self.timeout)),
                poll_interval=self.poke_interval,
                run_identity=_run_identity(context),
            ),
            method_name="execute_complete",
            kwargs={"started": started},
            timeout=timedelta(seconds=self.timeout) + TRIGGERER_GRACE,
        )

    def _execute_in_worker(self, context: Context) -> Any:
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            raise AirflowSensorTimeout(f"{self._wait(context)} did not come: {error}") from error

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once, when waiting in the worker."""
        wait = self._wait(context)
        missing = wait.look(self._hook(context))
        if missing is None:
            return PokeReturnValue(True, self._found(wait))
        self.log.info("waiting for %s: %s", wait, missing)
        return PokeReturnValue(False)

    def execute_complete(self, context: Context, event: dict[str, str], started: float) -> dict[str, str]:
        """Go on after the trigger fired."""
        wait = self._wait(context)
        end, message = event["end"], event["message"]
        if end == WaitEnd.FOUND:
            return self._found(wait)
        if end == WaitEnd.TIMED_OUT:
            reason = f"{wait} did not come within {self.timeout:g} s, since {_utc(started)}: {message}"
            # The log of a task that is then skipped says no more than that it is.
            self.log.warning("%s", reason)
            raise AirflowSensorTimeout(reason)
        error: type[Exception] = getattr(exceptions, end)
        raise error(f"waiting for {wait} since {_utc(started)}: {message}")

    def lineage_inputs(self) -> Sequence[Data]:
        """Return the table that is waited for."""
        return [Data.of_table(self.table)]

    def _wait(self, context: Context) -> PartitionWait:
        if self.partition_spec is None:
            partition = partition_spec_from_context(context, self.partition or PartitionOptions())
        else:
            partition = _parse(self.partition_spec)
        return PartitionWait(self.table, partition, self.min_rows, self.wait_for_table)

    def _hook(self, context: Context) -> DrivepipeHook:
        return DrivepipeHook(self.conn_id, run_identity=_run_identity(context))

    def _found(self, wait: PartitionWait) -> dict[str, str]:
        self.log.info("found %s", wait)
        return {"table": wait.table, "partition": str(wait.partition)}


def _parse(spec: str) -> PartitionSpec:
    """Return the partition that ``ds=20261120,region=east`` names; slashes and quotes are taken as well."""
    try:
        pairs = [part.split("=", 1) for part in spec.replace("/", ",").split(",")]
        return PartitionSpec(
            tuple(column.strip() for column, _ in pairs), tuple(value.strip(" '\"") for _, value in pairs)
        )
    except ValueError as error:
        raise ConfigurationError(
            f"not a partition: {spec!r}; expected for example ds=20261120,region=east ({error})"
        ) from error


def _run_identity(context: Context) -> str:
    ti = context["ti"]
    return f"{ti.dag_id}/{ti.run_id}"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
