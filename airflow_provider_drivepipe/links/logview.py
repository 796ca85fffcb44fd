"""The LogView link of a task's MaxFrame job; there while the job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class LogViewLink(BaseOperatorLink):
    """Opens MaxCompute's LogView page of the job."""

    name = "LogView"

    @property
    def xcom_key(self) -> str:
        """XCom key that holds the address; pushed before the task waits."""
        return "logview"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address, or an empty string before the job was submitted."""
        value = XCom.get_value(key=self.xcom_key, ti_key=ti_key)
        return str(value or "")
