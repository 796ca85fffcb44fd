"""The Airflow plugin: registers what provider discovery alone does not."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from airflow_provider_drivepipe import listener
from airflow_provider_drivepipe.connection_form import ConnectionTestWithoutPort
from airflow_provider_drivepipe.links.report import APP_PREFIX
from airflow_provider_drivepipe.macros import partition_spec, partition_value
from airflow_provider_drivepipe.report_app import report_app
from airflow_provider_drivepipe.timetables.odps_partition import (
    OdpsPartitionTimetable,
    OnDemandPartitionTimetable,
)


class DrivepipePlugin(AirflowPlugin):
    """Loaded through the ``airflow.plugins`` entry point; templates see it as ``macros.drivepipe``."""

    name = "drivepipe"
    timetables = [OdpsPartitionTimetable, OnDemandPartitionTimetable]  # noqa: RUF012 - Airflow's attribute
    macros = [partition_value, partition_spec]  # noqa: RUF012 - Airflow's attribute
    listeners = [listener]  # noqa: RUF012 - Airflow's attribute
    fastapi_apps = [  # noqa: RUF012 - Airflow's attribute
        {"name": "drivepipe report", "app": report_app, "url_prefix": APP_PREFIX}
    ]
    fastapi_root_middlewares = [  # noqa: RUF012 - Airflow's attribute
        {"name": "drivepipe connection test", "middleware": ConnectionTestWithoutPort}
    ]
