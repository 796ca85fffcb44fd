"""What a MaxFrame session says of itself: the Airflow task instance that it was opened for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionTags:
    """The task instance that a session works for. ``map_index`` is -1 for a task that is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int
