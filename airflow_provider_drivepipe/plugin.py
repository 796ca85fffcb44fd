"""The Airflow plugin: registers the timetable, which provider discovery alone does not."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_drivepipe.timetables.odps_partition import OdpsPartitionTimetable


class DrivepipePlugin(AirflowPlugin):
    """Loaded through the ``airflow.plugins`` entry point."""

    name = "drivepipe"
    timetables = [OdpsPartitionTimetable]  # noqa: RUF012 - Airflow's attribute
