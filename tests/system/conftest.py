"""One Airflow on PostgreSQL and one local cloud for all system tests of a process; half a minute to start."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.airflow_api import AirflowApi, Json
from tests.system.airflow_cluster import AirflowCluster
from tests.system.cloud import Cloud, JobOnDisk, Picture
from tests.system.model_endpoint import ModelEndpoint
from tests.system.nothing_left import assert_nothing_left
from tests.system.watchdog import CLOUD, watched

_DAGS = Path(__file__).with_name("dags")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests more time than others: minutes of real scheduling on a machine that may be busy."""
    for item in items:
        if _DAGS.parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(1200))


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

    def ready(
        self, dag_id: str, partitions: Mapping[str, int], paused: bool = False
    ) -> dict[str, list[Picture]]:
        """Make the pictures of a DAG of ``label_dags``, so many per partition, and switch the DAG on."""
        pictures = self.cloud.image_table(f"{dag_id}_images", partitions)
        self.cluster.wait_until_served(dag_id)
        if not paused:
            self.api.unpause(dag_id)
        return pictures

    def wait_for_run(self, dag_id: str) -> Json:
        """Wait until the scheduler has made a run of a DAG, and return it."""
        eventually(lambda: bool(self.api.runs(dag_id)))
        return self.api.runs(dag_id)[0]

    def images_asked(self, dag_id: str) -> list[str]:
        """Return the digests of the pictures that the model was asked to label, in order of the calls."""
        return [call.image for call in self.model.calls_of(dag_id)]

    def own_jobs(self, since: Collection[JobOnDisk]) -> Counter[str]:
        """Count the MaxFrame DAGs submitted after ``since`` by status, as the local cloud keeps them."""
        known = {job.dag_id for job in since}
        return Counter(job.status for job in self.cloud.jobs() if job.dag_id not in known)


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until a condition holds. Raises AssertionError when it does not in so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not true after {seconds:.0f} s"
        time.sleep(0.2)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    model = ModelEndpoint()
    with watched(folder):
        cloud = Cloud(folder / CLOUD, model.models_json())
        cluster = AirflowCluster(folder, cloud.connection)
        shutil.copytree(_DAGS, cluster.dags, dirs_exist_ok=True)
        cluster.prepare()
        cluster.start()
        yield System(cluster, cloud, model)
        assert_nothing_left(cloud)
    model.close()
