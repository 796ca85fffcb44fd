"""One Airflow on PostgreSQL and one local cloud for all system tests; half a minute to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.airflow_api import AirflowApi
from tests.system.airflow_cluster import AirflowCluster
from tests.system.cloud import Cloud
from tests.system.model_endpoint import ModelEndpoint
from tests.system.postgres import PostgresServer
from tests.system.watchdog import CLOUD, watched

_DAGS = Path(__file__).with_name("dags")


@dataclass(frozen=True)
class System:
    """Everything that runs: Airflow, the local cloud, and the model that the test plays itself."""

    cluster: AirflowCluster
    cloud: Cloud
    model: ModelEndpoint

    @property
    def api(self) -> AirflowApi:
        """REST client of the Airflow."""
        return self.cluster.api


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    model = ModelEndpoint()
    with watched(folder) as database_folder:
        database = PostgresServer(database_folder)
        database.start()
        cloud = Cloud(folder / CLOUD, model.models_json())
        cluster = AirflowCluster(folder, database, cloud.connection)
        shutil.copytree(_DAGS, cluster.dags, dirs_exist_ok=True)
        cluster.prepare()
        cluster.start()
        yield System(cluster, cloud, model)
    model.close()
