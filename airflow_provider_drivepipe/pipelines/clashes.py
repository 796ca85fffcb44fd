"""What two scenarios must not share: a name, a table that both write, a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airflow_provider_drivepipe.pipelines.loading import Problem, ScenarioError
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan


class Clashes:
    """Scenario files seen so far, each with what it writes."""

    def __init__(self) -> None:
        self._owners: dict[tuple[object, ...], Path] = {}

    def check(self, path: Path, scenario: Scenario, plan: Plan) -> None:
        """Raise ScenarioError when a file seen before writes what this one writes; else remember it.

        :param plan: that of the scenario.
        """
        claims = list(_claims(scenario, plan))
        problems = [
            Problem(str(path), 1, key, f"{self._owners[claim]} {said}")
            for key, claim, said in claims
            if self._owners.get(claim, path) != path
        ]
        if problems:
            raise ScenarioError(problems)
        self._owners.update({claim: path for _, claim, _ in claims})


def _claims(scenario: Scenario, plan: Plan) -> Iterator[tuple[str, tuple[object, ...], str]]:
    """Yield key, what it claims, and what to say of another file that claims it."""
    yield "scenario_name", ("name", scenario.scenario_name), "has the same scenario_name; choose another"
    partition = (scenario.partition_col, *sorted(scenario.partition_fixed.items()))
    for task in plan.tasks:
        key = "video_input_table" if task.is_listing else "output_table"
        table = task.output_table.name
        said = f"writes table {table} too; name another, for each run replaces the other's partition"
        yield key, ("table", scenario.conn_id, table, partition), said
        place = task.unit.pictures_below() if task.unit else None
        if place:
            said = f"writes pictures below {place.prefix}/ of {place.root} too; choose another prefix"
            yield place.key, ("folder", place.root, place.prefix, partition), said
