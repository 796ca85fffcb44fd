"""Waits for a partition without holding a worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.partition_wait import PartitionWait
from airflow_provider_drivepipe.scenario.partition import PartitionSpec


class WaitEnd(StrEnum):
    """How a wait for a partition ended, unless with an error."""

    FOUND = "found"
    TIMED_OUT = "timed_out"


class OdpsPartitionTrigger(BaseTrigger):
    """Fires once when the partition is there, when the deadline has passed, or when waiting is useless.

    The event is ``{"end", "message"}``. ``end`` is one of :class:`WaitEnd`, or the name of the exception
    class with which looking ended. A service that cannot be reached is waited for until the deadline.

    :param partition_columns: the table's partition columns, in order.
    :param partition_values: their values.
    :param deadline: seconds since the epoch; the last look is then.
    :param first_poll_delay: seconds before the first look. Airflow 3.3 can take a task that resumes within
        seconds of deferring for a failed one, so the first look comes late.
    :param poll_interval: seconds between looks.
    """

    def __init__(
        self,
        conn_id: str,
        table: str,
        partition_columns: list[str],
        partition_values: list[str],
        min_rows: int,
        wait_for_table: bool,
        deadline: float,
        first_poll_delay: float,
        poll_interval: float,
        run_identity: str,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's base class has no types
        self.conn_id = conn_id
        partition = PartitionSpec(tuple(partition_columns), tuple(partition_values))
        self.wait = PartitionWait(table, partition, min_rows, wait_for_table)
        self.deadline = deadline
        self.first_poll_delay = first_poll_delay
        self.poll_interval = poll_interval
        self.run_identity = run_identity

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments; ids only, never credentials."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "conn_id": self.conn_id,
                "table": self.wait.table,
                "partition_columns": list(self.wait.partition.columns),
                "partition_values": list(self.wait.partition.values),
                "min_rows": self.wait.min_rows,
                "wait_for_table": self.wait.wait_for_table,
                "deadline": self.deadline,
                "first_poll_delay": self.first_poll_delay,
                "poll_interval": self.poll_interval,
                "run_identity": self.run_identity,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the partition is there."""
        await asyncio.sleep(self.first_poll_delay)
        hook = DrivepipeHook(self.conn_id, run_identity=self.run_identity)
        logged = ""
        while True:
            try:
                missing = await asyncio.to_thread(self.wait.look, hook)
            except DrivepipeError as error:
                yield _event(type(error).__name__, str(error))
                return
            if missing is None:
                yield _event(WaitEnd.FOUND)
                return
            remaining = self.deadline - time.time()
            if remaining <= 0:
                yield _event(WaitEnd.TIMED_OUT, missing)
                return
            if missing != logged:
                self.log.info("waiting for %s: %s", self.wait, missing)
                logged = missing
            await asyncio.sleep(min(self.poll_interval, remaining))


def _event(end: str, message: str = "") -> TriggerEvent:
    return TriggerEvent({"end": str(end), "message": message})
