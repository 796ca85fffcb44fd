"""The families of pipelines that there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from airflow_provider_drivepipe.pipelines.family import Family
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan

DEFAULT_FAMILY = "driving"


class _Families(Mapping[str, Family]):
    """Families by name. One is imported when it is asked for: a process pays for those alone that it uses."""

    _names = (DEFAULT_FAMILY, "reasoning", "retrieval")

    def __getitem__(self, name: str) -> Family:
        if name not in self._names:
            raise KeyError(name)
        family: Family = import_module(f"{__package__}.{name}.family").FAMILY
        return family

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


FAMILIES: Mapping[str, Family] = _Families()


def plan(scenario: Scenario) -> Plan:
    """Return the plan of a validated scenario."""
    return FAMILIES[scenario.pipeline].plan(scenario)
