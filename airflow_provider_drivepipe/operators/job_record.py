"""What survives a lost worker: the record of a task's MaxFrame job in Airflow's task state store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.hooks.maxframe import Job, PlannedWork

if TYPE_CHECKING:
    from airflow.sdk import Context

RECORD_KEY = "maxframe_job"


class RunMark(StrEnum):
    """What a run remembers of its earlier tries."""

    REPROCESSED = "reprocessed"
    """It has published with ``reprocess: all``; its retries only repair what failed."""
    KEPT_WAVES = "kept_waves"
    """It ended early and kept what it had made; with ``reprocess: all`` the next try goes on from there."""


@dataclass(frozen=True)
class JobRecord:
    """A job, the try that submitted it, and whether it is finished with.

    :param dag_id: empty between the start of the session and the submission.
    :param started: when the first wave began, in seconds since the epoch.
    :param working: owner part of the working tables' names, see ``WorkingTables``.
    :param wave: which job of the run it is, from 0.
    :param waves: how many there are.
    :param rows: how many input units or rows all of them work on.
    :param unit: what one of them is called.
    :param made_with: the run's fingerprint when it began.
    :param deadline: when the try has waited too long, in seconds since the epoch.
    """

    session_id: str
    dag_id: str
    try_number: int
    started: float
    working: str
    wave: int = 0
    waves: int = 1
    rows: int = 0
    unit: str = "row"
    made_with: str = ""
    deadline: float | None = None
    done: bool = False

    @property
    def job(self) -> Job:
        """Identity of the job."""
        return Job(self.session_id, self.dag_id)

    @property
    def work(self) -> PlannedWork:
        """What it is a part of."""
        return PlannedWork(self.rows, self.unit, self.wave, self.waves, self.started)


def load_record(context: Context) -> JobRecord | None:
    """Return this task's record, of this try or an earlier one."""
    stored: Any = context["task_state_store"].get(RECORD_KEY)
    return JobRecord(**stored) if stored else None


def store_record(context: Context, record: JobRecord, done: bool = False) -> None:
    """Keep the record for later tries."""
    context["task_state_store"].set(RECORD_KEY, {**asdict(record), "done": done})


def has_mark(context: Context, mark: RunMark) -> bool:
    """Whether an earlier try of the run, or this one, has set a mark."""
    return bool(context["task_state_store"].get(str(mark)))


def set_mark(context: Context, mark: RunMark) -> None:
    """Remember something for later tries of the run."""
    context["task_state_store"].set(str(mark), True)
