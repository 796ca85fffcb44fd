"""Airflow's logging where all of it runs on one machine: every task's log is a file that is at hand."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG
from airflow.utils.log.file_task_handler import FileTaskHandler

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance


class LocalTaskHandler(FileTaskHandler):
    """Asks no worker for the log of a running task: no log server runs, and the UI would show an error."""

    def _read_from_logs_server(
        self,
        ti: TaskInstance,  # noqa: ARG002 - Airflow's signature
        worker_log_rel_path: str,  # noqa: ARG002
    ) -> tuple[list[str], list[Any]]:
        return [], []


LOGGING_CONFIG = copy.deepcopy(DEFAULT_LOGGING_CONFIG)
LOGGING_CONFIG["handlers"]["task"]["class"] = f"{__name__}.{LocalTaskHandler.__name__}"
