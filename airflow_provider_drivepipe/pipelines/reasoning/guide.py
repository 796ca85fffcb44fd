"""What people need to know of this family beside its stages: what it starts from, what it makes."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_drivepipe.pipelines.reasoning.scenario import InputShape, ReasoningScenario
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.stage import Stage

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


_WORDS = {
    "filter": ("whether the video belongs to the domain, and whether it shows an anomaly", "video"),
    "global_caption": ("what the whole video shows", "video"),
    "dense_caption": ("what happens when: a list of events, each with start and end", "video"),
    "chunk_caption": ("what the chunk shows, and nothing before or after it", "chunk"),
    "moment": ("when the critical moment is, as the captions tell it", "video"),
    "highlight": ("what is seen before, at and after the critical moment", "video"),
    "description": ("for one account of all captions: scene, chronology, analysis", "video"),
    "qa": ("for questions of one type, each with answer, reasoning and times", "question to ask for"),
    "blind": ("the question without the video: items that it gets right need no video", "item"),
}
"""What a model is asked, and about what, by stage."""


def worded(stage: Stage) -> Stage:
    """Return a stage with what this family says of it, instead of general words."""
    if not isinstance(stage, Generate) or stage.name not in _WORDS:
        return stage
    asked, unit = _WORDS[stage.name]
    model = "vision-language model" if stage.media else "language model"
    return replace(stage, texts=replace(stage.guide(), does=f"asks a {model} {asked}", unit=unit))
