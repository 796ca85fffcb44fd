"""One run at a time per partition, and nothing left behind by runs that died.

MaxCompute creates a table for one of two callers only, so a table is the lock: it exists while a run owns the
partition, and its comment says which. A run that comes second waits; if the owner's task is no longer alive,
it takes over and removes what the owner left. Whether it is alive Airflow says; a run without a scheduler
(``airflow dags test``) also notes the process that it lives in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowRescheduleException

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.exceptions import ConfigurationError, PartitionBusyError, RemoteJobError
from airflow_provider_drivepipe.hooks.run_process import RunProcess
from airflow_provider_drivepipe.hooks.sessions import SessionTags, installation
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.sql import create_table, drop_table, quote_name, quote_text

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

LOCK_LIFECYCLE_DAYS = 1
"""MaxCompute itself removes the lock of a run that nobody knows any more."""
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


def is_alive(context: Context, owner: SessionTags) -> bool | None:
    """Whether Airflow says that a task instance runs, waits or is going to; None when it knows none."""
    found = context["ti"].get_task_states(
        dag_id=owner.dag_id,
        task_ids=[owner.task_id],
        run_ids=[owner.run_id],
        map_index=owner.map_index,
    )
    states = [state for of_run in found.values() for state in of_run.values()]
    return any(state in _ALIVE for state in states) if states else None


def same_task(one: SessionTags, other: SessionTags) -> bool:
    """Whether two task instances are the same but for the try."""
    return (one.dag_id, one.run_id, one.task_id, one.map_index) == (
        other.dag_id,
        other.run_id,
        other.task_id,
        other.map_index,
    )


@dataclass(frozen=True)
class Holder:
    """What a lock's comment says.

    :param installation: address of the Airflow that knows the task.
    :param process: what the run lives in where no scheduler watches over it.
    """

    task: SessionTags
    installation: str
    process: RunProcess | None

    @classmethod
    def read(cls, comment: str) -> Holder:
        """Read a comment; raise ValueError, TypeError or LookupError when it is not one of a lock."""
        values = json.loads(comment)
        process = values["process"]
        return cls(
            SessionTags(**values["task"]),
            str(values["installation"]),
            RunProcess(**process) if process else None,
        )

    def comment(self) -> str:
        """Return what :meth:`read` reads."""
        return json.dumps(asdict(self), ensure_ascii=False)

    def is_dead(self, is_alive: Callable[[SessionTags], bool | None]) -> bool:
        """Whether the run has surely ended.

        A task that this Airflow does not know was deleted, or belongs to another Airflow, of which nothing is
        known.
        """
        if self.process is not None and self.process.has_ended():
            return True
        alive = is_alive(self.task)
        if alive is None:
            return self.process is None and self.installation == installation()
        return not alive


class PartitionLock:
    """The lock of one partition of one output table.

    :param owner: the task instance that wants it.
    """

    def __init__(self, hook: DrivepipeHook, working: WorkingTables, owner: SessionTags) -> None:
        self._hook = hook
        self._working = working
        self._owner = owner

    def acquire(self, is_alive: Callable[[SessionTags], bool | None]) -> SessionTags | None:
        """Take the lock; return the dead owner it was taken from, if any.

        Raises PartitionBusyError while another task that is alive holds it.
        """
        dead: SessionTags | None = None
        for _ in range(_TRIES):
            holder = self.holder()
            if holder is None:
                if self._create():
                    return dead
            elif same_task(holder.task, self._owner):
                table, comment = quote_name(self._working.lock), quote_text(self._comment())
                self._hook.execute_sql(f"ALTER TABLE {table} SET COMMENT {comment}")
                return dead
            elif holder.is_dead(is_alive):
                dead = holder.task
                self._hook.execute_sql(drop_table(self._working.lock))
            else:
                break
        raise PartitionBusyError(self._busy(holder))

    def _busy(self, holder: Holder | None) -> str:
        lock = self._working.lock
        if holder is None:
            return f"table {self._working.output}: other runs take and leave the partition's lock {lock}"
        task, process = holder.task, holder.process
        lives = f" (process {process.pid} on {process.host.partition(' ')[0]})" if process else ""
        return (
            f"table {self._working.output}: the partition is being written by task {task.task_id} of DAG "
            f"{task.dag_id}, run {task.run_id}{lives}. If that run works no more, mark its task failed in "
            f"Airflow, or DROP TABLE {lock}"
        )

    def holder(self) -> Holder | None:
        """Return who holds the lock."""
        comment = self._hook.table_comment(self._working.lock)
        if comment is None:
            return None
        try:
            return Holder.read(comment)
        except (ValueError, TypeError, LookupError) as error:
            raise ConfigurationError(
                f"table {self._working.lock} stands where the partition's lock belongs, but does not say "
                "who holds it; drop it"
            ) from error

    def held(self) -> bool:
        """Whether this task still holds the lock, in this try or an earlier one."""
        holder = self.holder()
        return holder is not None and same_task(holder.task, self._owner)

    def release(self) -> None:
        """Give the lock back if this very try holds it; a later try of the task keeps it."""
        holder = self.holder()
        if holder is not None and holder.task == self._owner:
            self._hook.execute_sql(drop_table(self._working.lock))

    def leftovers(self) -> list[str]:
        """Return the working tables of other tries and runs of the partition.

        Only the holder of the lock may touch them.
        """
        keep = {*self._working.all(), self._working.lock}
        return [name for name in self._hook.list_tables(self._working.prefix) if name not in keep]

    def _create(self) -> bool:
        sql = create_table(
            self._working.lock,
            _COLUMNS,
            lifecycle_days=LOCK_LIFECYCLE_DAYS,
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
        return Holder(self._owner, installation(), RunProcess.of_this_run()).comment()


def drop_tables(hook: DrivepipeHook, tables: Sequence[str]) -> None:
    """Drop working tables that earlier tries and runs left."""
    for table in tables:
        hook.execute_sql(drop_table(table))
    if tables:
        hook.log.info("dropped what earlier tries and runs left: %s", ", ".join(tables))


def take_partition(
    context: Context, hook: DrivepipeHook, working: WorkingTables, owner: SessionTags
) -> tuple[SessionTags | None, list[str]]:
    """Own the partition, or wait for it without a worker slot and without using up a retry.

    Returns the dead task instance that it was taken over from, if any, and the working tables that other
    tries and runs left. Raises AirflowRescheduleException while another task holds the partition.
    """
    lock = PartitionLock(hook, working, owner)
    try:
        dead = lock.acquire(lambda holder: is_alive(context, holder))
    except PartitionBusyError as error:
        hook.log.info("%s. Looking again in %d seconds", error, LOCK_POLL.seconds)
        raise AirflowRescheduleException(datetime.now(UTC) + LOCK_POLL) from error
    if dead is not None:
        hook.log.warning(
            "took the partition over from run %s of DAG %s, which died (task %s, try %d)",
            dead.run_id,
            dead.dag_id,
            dead.task_id,
            dead.try_number,
        )
    return dead, lock.leftovers()


def leave_partition(
    hook: DrivepipeHook, working: WorkingTables, owner: SessionTags, drop: bool = True
) -> None:
    """Drop a try's working tables, those that are gone already too, and give its lock back.

    :param drop: False leaves the tables to the next run of the partition.
    """
    if drop:
        there = set(hook.list_tables(working.prefix))
        for table in sorted(there.intersection(working.all())):
            hook.execute_sql(drop_table(table))
    PartitionLock(hook, working, owner).release()
