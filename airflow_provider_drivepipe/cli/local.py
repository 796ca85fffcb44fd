"""``drivepipe local``: hands through to ``maxcompute-local``, and says how Airflow connects to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.hooks.connection import CONN_TYPE

if TYPE_CHECKING:
    from maxcompute_local.settings import ServerSettings

ROOT_VARIABLE = "DRIVEPIPE_LOCAL_ROOT"


def main(arguments: Sequence[str]) -> int:
    """Run ``drivepipe local <action>``; return the exit code."""
    from maxcompute_local import cli

    return cli.main(
        arguments,
        prog="drivepipe local",
        root=default_root(),
        more_variables=connections,
    )


def default_root() -> Path:
    """Return ``$DRIVEPIPE_LOCAL_ROOT``, or ``.drivepipe/cloud`` below the current folder."""
    return Path(os.environ.get(ROOT_VARIABLE) or Path(".drivepipe", "cloud")).absolute()


def connections(settings: ServerSettings) -> dict[str, str]:
    """Return the Airflow connections to a local cloud, and to what draws pictures there, as variables.

    They have secrets in them: never log them.
    """
    pictures = {
        "conn_type": "http",
        "host": f"{settings.odps_endpoint.removesuffix('/api')}/models/v1",
        "password": settings.access_key_secret,
    }
    return {
        "AIRFLOW_CONN_DRIVEPIPE_DEFAULT": connection_json(settings),
        "AIRFLOW_CONN_DRIVEPIPE_IMAGES": json.dumps(pictures),
    }


def connection_json(settings: ServerSettings) -> str:
    """Return the Airflow connection to a local cloud, as ``AIRFLOW_CONN_…`` holds it.

    It has the secret key in it: never log it.
    """
    from maxcompute_local.settings import MODEL_PROJECT, PROJECT, REGION, ROLE_ARN

    return json.dumps(
        {
            "conn_type": CONN_TYPE,
            "host": settings.odps_endpoint,
            "login": settings.access_key_id,
            "password": settings.access_key_secret,
            "extra": {
                "project": PROJECT,
                "region": REGION,
                "oss_endpoint": settings.oss_endpoint,
                "oss_region": REGION,
                "oss_role_arn": ROLE_ARN,
                "model_project": MODEL_PROJECT,
                # Airflow warns in each task's log of values that are too short to be masked: four characters.
                "dpe_python_version": f"python{sys.version_info.major}.{sys.version_info.minor}",
            },
        }
    )
