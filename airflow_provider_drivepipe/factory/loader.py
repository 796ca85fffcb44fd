"""load_scenarios(folder): one DAG per scenario file; a broken file takes no other down."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow.exceptions import SerializationError
from airflow.sdk import DAG, get_parsing_context

from airflow_provider_drivepipe.factory.compiled import CompiledScenario, compile_file
from airflow_provider_drivepipe.factory.dags import dag_of
from airflow_provider_drivepipe.pipelines.clashes import Clashes
from airflow_provider_drivepipe.pipelines.loading import SUFFIXES, ScenarioError, scenario_files
from airflow_provider_drivepipe.scenario.model import DAG_ID_PREFIX


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
    task runs, only the file of its DAG is read: that named after the scenario, else the one that mentions it.
    """
    wanted = get_parsing_context().dag_id
    with _no_garbage():
        return _all(Path(folder)) if wanted is None else _only(wanted, Path(folder))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Stop the search for garbage: of a thousand DAGs nothing is, and to see so takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _all(folder: Path) -> dict[str, DAG]:
    dags: dict[str, DAG] = {}
    found: list[tuple[Path, CompiledScenario]] = []

    def refuse(path: Path, error: ScenarioError) -> None:
        broken = BrokenScenarioDag.of(path, error)
        dags[broken.dag_id] = broken

    for path in scenario_files(folder):
        try:
            found.append((path, compile_file(path)))
        except ScenarioError as error:
            refuse(path, error)
    clashes = Clashes()
    # Of two files with one name, a task's process finds the one that is called so.
    for path, compiled in sorted(found, key=lambda each: each[0].stem != each[1].scenario.scenario_name):
        try:
            clashes.check(path, compiled.scenario, compiled.plan)
        except ScenarioError as error:
            refuse(path, error)
        else:
            dags[compiled.scenario.dag_id] = dag_of(compiled)
    return dags


def _only(dag_id: str, folder: Path) -> dict[str, DAG]:
    for path in _candidates(dag_id, folder):
        try:
            compiled = compile_file(path)
        except ScenarioError:
            continue
        if compiled.scenario.dag_id == dag_id:
            return {dag_id: dag_of(compiled)}
    return {}


def _candidates(dag_id: str, folder: Path) -> Iterator[Path]:
    """Yield the scenario files that may be of a DAG, the likely ones first."""
    name = dag_id.removeprefix(DAG_ID_PREFIX)
    if name == dag_id:
        return
    named = [path for path in (folder / f"{name}{suffix}" for suffix in SUFFIXES) if path.is_file()]
    yield from named
    others = [path for path in scenario_files(folder) if path not in named]
    yield from sorted(others, key=lambda path: name.encode() not in path.read_bytes())


def _identifier(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)
