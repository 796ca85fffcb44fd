"""One run at a time per partition, and nothing left behind by runs that died.

MaxCompute creates a table for one of two callers only, so a table is the lock: it exists while a run owns the
partition, and its comment says which. A run that comes second waits; if the owner's task is no longer alive,
it takes over and removes what the owner left.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRescheduleException

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.exceptions import ConfigurationError, PartitionBusyError, RemoteJobError
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.pipelines.stage_sql import create_table, drop_table, quote_name, quote_text
from airflow_provider_drivepipe.pipelines.stage_tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

LOCK_POLL = timedelta(seconds=30)
"""How often a run looks again whether the partition that it waits for is free."""

_ALIVE = {
    "scheduled",
    "queued",
    "running",
    "restarting",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    "awaiting_input",
}
_COLUMNS = (Column("owner", "string", "see the table's comment"),)
_TRIES = 5


def tags_of(context: Context) -> SessionTags:
    """Return the identity of the task instance that runs."""
    ti = context["ti"]
    map_index = -1 if ti.map_index is None else ti.map_index
    return SessionTags(ti.dag_id, ti.run_id, ti.task_id, map_index, ti.try_number)


def is_alive(context: Context, owner: SessionTags) -> bool:
    """Whether Airflow says that a task instance runs, waits or is going to run."""
    found = context["ti"].get_task_states(
        dag_id=owner.dag_id,
        task_ids=[owner.task_id],
        run_ids=[owner.run_id],
        map_index=owner.map_index,
    )
    return any(state in _ALIVE for states in found.values() for state in states.values())


def same_task(one: SessionTags, other: SessionTags) -> bool:
    """Whether two task instances are the same but for the try."""
    return (one.dag_id, one.run_id, one.task_id, one.map_index) == (
        other.dag_id,
        other.run_id,
        other.task_id,
        other.map_index,
    )


class PartitionLock:
    """The lock of one partition of one output table.

    :param owner: the task instance that wants it.
    """

    def __init__(self, hook: DrivepipeHook, working: WorkingTables, owner: SessionTags) -> None:
        self._hook = hook
        self._working = working
        self._owner = owner

    def acquire(self, is_alive: Callable[[SessionTags], bool]) -> SessionTags | None:
        """Take the lock; return the dead owner it was taken from, if any.

        Raises PartitionBusyError while another task that is alive holds it.
        """
        dead: SessionTags | None = None
        for _ in range(_TRIES):
            holder = self.holder()
            if holder is None:
                if self._create():
                    return dead
            elif same_task(holder, self._owner):
                table, comment = quote_name(self._working.lock), quote_text(self._comment())
                self._hook.execute_sql(f"ALTER TABLE {table} SET COMMENT {comment}")
                return dead
            elif is_alive(holder):
                break
            else:
                dead = holder
                self._hook.execute_sql(drop_table(self._working.lock))
        raise PartitionBusyError(
            f"table {self._working.output}: the partition is being written by task "
            f"{holder.task_id if holder else '?'} of DAG {holder.dag_id if holder else '?'}, "
            f"run {holder.run_id if holder else '?'}"
        )

    def holder(self) -> SessionTags | None:
        """Return who holds the lock."""
        comment = self._hook.table_comment(self._working.lock)
        if comment is None:
            return None
        try:
            return SessionTags(**json.loads(comment))
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"table {self._working.lock} stands where the partition's lock belongs, but does not say "
                "who holds it; drop it"
            ) from error

    def held(self) -> bool:
        """Whether this task still holds the lock, in this try or an earlier one."""
        holder = self.holder()
        return holder is not None and same_task(holder, self._owner)

    def release(self) -> None:
        """Give the lock back if this very try holds it; a later try of the task keeps it."""
        if self.holder() == self._owner:
            self._hook.execute_sql(drop_table(self._working.lock))

    def drop_leftovers(self) -> list[str]:
        """Drop working tables of other tries and runs of the partition; return their names.

        Only the holder of the lock may do this.
        """
        keep = {*self._working.all(), self._working.lock}
        found = [name for name in self._hook.list_tables(self._working.prefix) if name not in keep]
        for name in found:
            self._hook.execute_sql(drop_table(name))
        return found

    def _create(self) -> bool:
        sql = create_table(
            self._working.lock,
            _COLUMNS,
            lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS,
            comment=self._comment(),
            if_not_exists=False,
        )
        try:
            self._hook.execute_sql(sql)
        except RemoteJobError:
            # Somebody else was faster, or creating tables is impossible: then nobody holds it either.
            if self.holder() is None:
                raise
            return False
        return True

    def _comment(self) -> str:
        return json.dumps(asdict(self._owner), ensure_ascii=False)


def drop_working_tables(hook: DrivepipeHook, working: WorkingTables) -> None:
    """Drop the working tables of a try; those that are gone already are no error."""
    for table in working.all():
        hook.execute_sql(drop_table(table))


def take_partition(
    context: Context, hook: DrivepipeHook, working: WorkingTables, owner: SessionTags
) -> SessionTags | None:
    """Own the partition, or wait for it without a worker slot and without using up a retry.

    Removes working tables that other tries and runs left. Returns the dead task instance that the partition
    was taken over from, if any. Raises AirflowRescheduleException while another task holds the partition.
    """
    lock = PartitionLock(hook, working, owner)
    try:
        dead = lock.acquire(lambda holder: is_alive(context, holder))
    except PartitionBusyError as error:
        hook.log.info("%s; looking again in %d seconds", error, LOCK_POLL.seconds)
        raise AirflowRescheduleException(datetime.now(UTC) + LOCK_POLL) from error
    if dead is not None:
        hook.log.warning("took the partition over from %s, which is not alive any more", dead)
    leftovers = lock.drop_leftovers()
    if leftovers:
        hook.log.info("dropped what earlier tries and runs left: %s", ", ".join(leftovers))
    return dead


def leave_partition(hook: DrivepipeHook, working: WorkingTables, owner: SessionTags) -> None:
    """Drop a try's working tables and give its lock back."""
    drop_working_tables(hook, working)
    PartitionLock(hook, working, owner).release()
