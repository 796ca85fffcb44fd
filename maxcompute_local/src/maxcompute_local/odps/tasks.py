"""Instances, their tasks, and the protocol for services that run tasks other than SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class InstanceStatus(StrEnum):
    """State of an instance as the REST interface names it."""

    RUNNING = "Running"
    TERMINATED = "Terminated"


@dataclass(frozen=True)
class Task:
    """One task of a submitted job.

    ``type`` is the XML tag (``SQL``, ``MaxFrame``), ``settings`` the decoded ``settings`` property,
    ``command`` the ``<Command>`` of a MaxFrame task and ``query`` the text of a SQL task. ``guid`` is the
    identifier that the client gave the job.
    """

    type: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    query: str = ""
    guid: str = ""


@dataclass
class Instance:
    """A submitted job. Only the MaxCompute service changes it; task services read it.

    ``start_time`` and ``end_time`` are seconds since the epoch. ``error`` is the text of a failed job
    (``ODPS-<code>:<text>``), ``result_text`` the text result of a finished one.
    """

    id: str
    project: str
    tasks: tuple[Task, ...]
    start_time: float
    status: InstanceStatus = InstanceStatus.RUNNING
    end_time: float | None = None
    error: str | None = None
    result_text: str | None = None
    cancelled: bool = False

    @property
    def terminated(self) -> bool:
        """Return whether the job has ended, well or not."""
        return self.status is InstanceStatus.TERMINATED

    @property
    def task_status(self) -> str:
        """Return the state of the job's tasks: Running, Success, Failed or Cancelled."""
        if not self.terminated:
            return "Running"
        if self.cancelled:
            return "Cancelled"
        return "Success" if self.error is None else "Failed"


class TaskService(Protocol):
    """Runs the tasks of one type. Every method is called from a worker thread, possibly several at once."""

    def start(self, instance: Instance, task: Task, record: Callable[[], None]) -> None:
        """Take the instance on; it stays Running until the service finishes it. OdpsError refuses it.

        ``record`` stores the instance. The service calls it once, in the transaction in which it stores what
        it has to know of the instance itself.
        """

    def get_info(self, instance: Instance, task_name: str, key: str) -> str:
        """Return the JSON body that answers ``GET ...?info&key=``."""
        ...

    def put_info(self, instance: Instance, task_name: str, method: str, value: str) -> str:
        """Return the JSON body that answers ``PUT ...?info`` with ``method`` and ``value``."""
        ...

    def stop(self, instance: Instance) -> None:
        """End the work; called for ``PUT <Status>Terminated``. The instance is finished afterwards."""

    def recover(self, instance: Instance) -> None:
        """Take up an instance that was Running when the server last ended; called at server start."""

    def logview(self, instance: Instance, dag_id: str | None) -> str:
        """Return what the LogView page shows of the instance, as a fragment of safe HTML."""
        ...
