"""The families of pipelines that there are."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_drivepipe.pipelines.driving.guide import ADDED, TARGETS, split_of, starts_from
from airflow_provider_drivepipe.pipelines.driving.plan import plan as driving_plan
from airflow_provider_drivepipe.pipelines.driving.rules import combination_problems
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.family import Family
from airflow_provider_drivepipe.pipelines.reasoning import guide as reasoning_guide
from airflow_provider_drivepipe.pipelines.reasoning.plan import plan as reasoning_plan
from airflow_provider_drivepipe.pipelines.reasoning.rules import (
    combination_problems as reasoning_problems,
)
from airflow_provider_drivepipe.pipelines.reasoning.scenario import ReasoningScenario
from airflow_provider_drivepipe.pipelines.retrieval import guide as retrieval_guide
from airflow_provider_drivepipe.pipelines.retrieval.plan import plan as retrieval_plan
from airflow_provider_drivepipe.pipelines.retrieval.rules import (
    combination_problems as retrieval_problems,
)
from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan

DEFAULT_FAMILY = "driving"
FAMILIES: Mapping[str, Family] = {
    "driving": Family(
        DrivingScenario, combination_problems, driving_plan, starts_from, TARGETS, split_of, ADDED
    ),
    "reasoning": Family(
        ReasoningScenario,
        reasoning_problems,
        reasoning_plan,
        reasoning_guide.starts_from,
        reasoning_guide.TARGETS,
        None,
        {},
    ),
    "retrieval": Family(
        RetrievalScenario,
        retrieval_problems,
        retrieval_plan,
        retrieval_guide.starts_from,
        retrieval_guide.TARGETS,
        None,
        {},
    ),
}


def plan(scenario: Scenario) -> Plan:
    """Return the plan of a validated scenario."""
    return FAMILIES[scenario.pipeline].plan(scenario)
