"""What a family of pipelines brings; see ``pipelines/registry.py`` for those that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.scenario.rules import Finding
from airflow_provider_drivepipe.stages.stage import RowStage, UnitStage


@dataclass(frozen=True)
class Split:
    """How a scenario says whether there is a table between a stage and the models.

    :param asked: the key by which it asks for one, empty when it does not.
    :param setting: what would ask for one, as Markdown.
    :param table: the name that the table has, or would have.
    """

    asked: str
    setting: str
    table: str


@dataclass(frozen=True)
class Family:
    """A family of pipelines, chosen by a scenario's key ``pipeline``.

    :param scenario: what its files hold.
    :param problems: what is missing in the keys of a file, or does not go together.
    :param plan: the tasks of a scenario.
    :param starts_from: what a scenario starts from, as Markdown.
    :param targets: what scenarios make, each target with its words.
    :param split: how a scenario says whether there is a table between a stage and the models; None where each
        task has a table of its own whatever it says.
    :param added: targets that add a part to rows: the key that each needs, and the stage that makes it.
    """

    scenario: type[Scenario]
    problems: Callable[[Mapping[str, Any]], Iterator[Finding]]
    plan: Callable[[Any], Plan]
    starts_from: Callable[[Any], str]
    targets: Mapping[str, str]
    split: Callable[[Any, UnitStage], Split] | None
    added: Mapping[str, tuple[str, RowStage]]
