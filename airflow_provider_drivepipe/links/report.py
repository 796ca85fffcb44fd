"""The link to the report of a task's partition: a page of the API server, which reads the file from OSS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from airflow.sdk import BaseOperatorLink
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey

APP_PREFIX = "/drivepipe"
"""Where the API server has pages of ours, below its base address."""
REPORT_KEY = re.compile(r"(.+/)?[^/]+_report/.+\.html")
"""Keys of objects that are reports: ``<scenario>_report/<partition path>.html`` below the root."""
XCOM_KEY = "run_report"
"""XCom key of what the page needs: the report's place in OSS, and the connection that reads it."""


class HasReport(Protocol):
    """An operator that may write a report."""

    wrote_report: bool


class ReportLink(BaseOperatorLink):
    """Opens the report. The address is no secret: who follows it has to be logged in and may read the DAG."""

    name = "Report"

    @property
    def xcom_key(self) -> str:
        """XCom key that holds the address."""
        return "run_report_link"

    def get_link(self, operator: HasReport, *, ti_key: TaskInstanceKey) -> str:  # type: ignore[override]  # used with these operators only
        """Return the address, or an empty string for a task that wrote no report."""
        if not operator.wrote_report:
            return ""
        base = conf.get("api", "base_url", fallback="/").rstrip("/")
        named = {name: getattr(ti_key, name) for name in ("dag_id", "run_id", "task_id", "map_index")}
        return f"{base}{APP_PREFIX}/report?{urlencode(named)}"
