"""load_scenarios(folder): one DAG per scenario file; a broken file takes no other down."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.exceptions import SerializationError
from airflow.sdk import DAG, get_parsing_context

from airflow_provider_drivepipe.factory.dags import build_dag
from airflow_provider_drivepipe.pipelines.clashes import Clashes
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario, scenario_files


class ScenarioFileError(SerializationError):
    """What is wrong with a scenario file; of the kind that Airflow does not wrap into another error."""


class BrokenScenarioDag(DAG):
    """Stands for a scenario file that cannot be used, so that Airflow shows its problems as an import error.

    Airflow keeps one import error per file, and takes all DAGs of a file with an error out of service. So
    this DAG claims to come from the scenario file instead of the DAG file that loads it, and fails when it
    is serialized: the error stands under the scenario file's name, and the other DAGs stay in service.
    """

    _error: ScenarioFileError
    _scenario_file: Path

    @classmethod
    def of(cls, scenario_file: Path, error: ScenarioError) -> BrokenScenarioDag:
        """Return the stand-in of a scenario file."""
        dag = cls(f"drivepipe_broken_{_identifier(scenario_file.stem)}")
        dag._error = ScenarioFileError(f"this scenario file cannot be used\n{error}")
        dag._scenario_file = scenario_file
        return dag

    @property
    def relative_fileloc(self) -> str:
        """The scenario file, relative to the DAG bundle like the loader that Airflow assigned.

        Airflow asks while it handles the error, before it makes a text of it. The traceback would lead into
        Airflow's serializer; the problems are what helps.
        """
        self._error.with_traceback(None)
        loader, relative = Path(self.fileloc), getattr(self, "_relative_loader", None)
        if relative is None:
            return str(self._scenario_file)
        bundle = Path(str(loader).removesuffix(str(relative)))
        return os.path.relpath(self._scenario_file.resolve(), bundle.resolve())

    @relative_fileloc.setter
    def relative_fileloc(self, value: str | None) -> None:
        self._relative_loader = value

    @property
    def has_on_failure_callback(self) -> bool:
        """Read by the serializer only; raises the problems of the file."""
        raise self._error

    @has_on_failure_callback.setter
    def has_on_failure_callback(self, value: bool) -> None:
        """Ignore what the base class computes."""


def load_scenarios(folder: Path | str) -> dict[str, DAG]:
    """Return the DAGs of all scenario files in ``folder``, by DAG id.

    Call it in a DAG file: ``globals().update(load_scenarios(Path(__file__).parent / "scenarios"))``. While a
    task runs, only the DAG that it needs is built.
    """
    wanted = get_parsing_context().dag_id
    dags: dict[str, DAG] = {}
    clashes = Clashes()
    for path in scenario_files(folder):
        try:
            scenario = load_scenario(path)
            clashes.check(path, scenario)
        except ScenarioError as error:
            if wanted is None:
                broken = BrokenScenarioDag.of(path, error)
                dags[broken.dag_id] = broken
            continue
        if wanted in (None, scenario.dag_id):
            dags[scenario.dag_id] = build_dag(scenario)
    return dags


def _identifier(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
