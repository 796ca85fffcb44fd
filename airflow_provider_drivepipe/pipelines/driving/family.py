"""The family ``driving``: from driving videos, clips or images to labels and embeddings."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.driving.guide import ADDED, TARGETS, split_of, starts_from
from airflow_provider_drivepipe.pipelines.driving.plan import plan
from airflow_provider_drivepipe.pipelines.driving.rules import combination_problems
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.family import Family

FAMILY = Family(DrivingScenario, combination_problems, plan, starts_from, TARGETS, split_of, ADDED)
