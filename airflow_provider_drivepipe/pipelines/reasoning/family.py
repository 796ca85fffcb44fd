"""The family ``reasoning``: from raw driving videos to checked question-and-answer training data."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.family import Family
from airflow_provider_drivepipe.pipelines.reasoning import guide
from airflow_provider_drivepipe.pipelines.reasoning.plan import plan
from airflow_provider_drivepipe.pipelines.reasoning.rules import combination_problems
from airflow_provider_drivepipe.pipelines.reasoning.scenario import ReasoningScenario

FAMILY = Family(ReasoningScenario, combination_problems, plan, guide.starts_from, guide.TARGETS, None, {})
