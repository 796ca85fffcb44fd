"""The family ``retrieval``: questions about videos, answered from retrieved frames, arms compared."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.family import Family
from airflow_provider_drivepipe.pipelines.retrieval import guide
from airflow_provider_drivepipe.pipelines.retrieval.plan import plan
from airflow_provider_drivepipe.pipelines.retrieval.rules import combination_problems
from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario

FAMILY = Family(RetrievalScenario, combination_problems, plan, guide.starts_from, guide.TARGETS, None, {})
