"""What people need to know of this family beside its stages: what it starts from, what it makes."""

from __future__ import annotations

from airflow_provider_drivepipe.pipelines.family import Split
from airflow_provider_drivepipe.pipelines.reasoning.scenario import InputShape, ReasoningScenario
from airflow_provider_drivepipe.stages.stage import UnitStage

INPUT_SHAPES = {
    InputShape.OSS_PREFIX: "videos in an OSS bucket that no table lists yet",
    InputShape.VIDEO_TABLE: "a table with one row per video",
}
TARGETS = {
    "manifest": "a table of the videos",
    "reasoning-annotation": "checked questions and answers on each video, with reasoning and times",
}
"""What scenarios make."""


def starts_from(scenario: ReasoningScenario) -> str:
    """Return what a scenario starts from, as Markdown."""
    return f"{INPUT_SHAPES[scenario.input_shape]} (`input_shape: {scenario.input_shape}`)"


def split_of(scenario: ReasoningScenario, unit: UnitStage) -> Split:
    """Return what says that each step has a table of its own: nothing, for they always have."""
    return Split(asked="steps", setting="`steps`", table=scenario.table(unit.with_parts))
