"""What survives a lost worker: the record of a task's MaxFrame job in Airflow's task state store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.hooks.maxframe import Job

if TYPE_CHECKING:
    from airflow.sdk import Context

RECORD_KEY = "maxframe_job"
REPROCESSED_KEY = "reprocessed"


@dataclass(frozen=True)
class JobRecord:
    """A job, the try that submitted it, and whether it is finished with.

    :param dag_id: empty between the start of the session and the submission.
    :param started: seconds since the epoch.
    :param working: owner part of the working tables' names, see ``WorkingTables``.
    """

    session_id: str
    dag_id: str
    try_number: int
    started: float
    working: str
    done: bool = False

    @property
    def job(self) -> Job:
        """Identity of the job."""
        return Job(self.session_id, self.dag_id)


def load_record(context: Context) -> JobRecord | None:
    """Return this task's record, of this try or an earlier one."""
    stored: Any = context["task_state_store"].get(RECORD_KEY)
    return JobRecord(**stored) if stored else None


def store_record(context: Context, record: JobRecord, done: bool = False) -> None:
    """Keep the record for later tries."""
    context["task_state_store"].set(RECORD_KEY, {**asdict(record), "done": done})


def is_reprocessed(context: Context) -> bool:
    """Whether this run has published with ``reprocess: all``; its retries only repair what failed."""
    return bool(context["task_state_store"].get(REPROCESSED_KEY))


def mark_reprocessed(context: Context) -> None:
    """Remember that this run has published with ``reprocess: all``."""
    context["task_state_store"].set(REPROCESSED_KEY, True)
