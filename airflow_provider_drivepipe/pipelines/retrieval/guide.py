"""What people need to know of this family beside its stages: what it starts from, what it makes."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario

TARGETS = {"video-qa": "answers with evidence to questions about videos, and which way to choose frames pays"}
"""What scenarios make."""


def starts_from(scenario: RetrievalScenario) -> str:
    """Return what a scenario starts from, as Markdown."""
    return f"a table with one row per question about a video (`input_shape: {scenario.input_shape}`)"
