"""The LogView link of a task's MaxFrame job; there while the job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class HasLogView(Protocol):
    """An operator with a job."""

    logview: str | None

    @property
    def has_job(self) -> bool:
        """Whether this process has submitted a job or goes on with one."""


class LogViewLink(BaseOperatorLink):
    """Opens MaxCompute's LogView page of the job."""

    name = "LogView"

    @property
    def xcom_key(self) -> str:
        """XCom key that holds the address; pushed before the task waits."""
        return "logview"

    def get_link(self, operator: HasLogView, *, ti_key: TaskInstanceKey) -> str:  # type: ignore[override]  # used with these operators only
        """Return the address, or an empty string for a task that has no job.

        Airflow asks in the task's own process when the task has ended. An XCom that is not there would be an
        error in the task's log, so it is read only where it must be there.
        """
        if operator.logview is None and operator.has_job:
            return str(XCom.get_value(key=self.xcom_key, ti_key=ti_key) or "")
        return operator.logview or ""
