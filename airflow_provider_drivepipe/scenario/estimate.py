"""What a run is expected to take from the models: rows, calls, tokens, cost. Pure: plan and figures in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Spending, Stage, Tokens
from airflow_provider_drivepipe.scenario.options import LabelOptions
from airflow_provider_drivepipe.scenario.plan import Plan, StageKind, StagePlan
from airflow_provider_drivepipe.scenario.prices import spending_of
from airflow_provider_drivepipe.scenario.prompts import whole_prompt

_IMAGE_TOKENS = 1200
"""Of a picture of 1280 by 720 pixels, at one token per 28 by 28 pixels."""
_ANSWER_TOKENS = 200
_CHARACTERS_PER_TOKEN = 4
OR_MEASURE = "; or --partition VALUE --measure, which counts the input and looks at what is published"


class Source(StrEnum):
    """Where a figure comes from."""

    GIVEN = "given"
    MEASURED = "measured"
    ASSUMED = "assumed"
    FOLLOWS = "follows"
    """From other figures and the scenario."""


@dataclass(frozen=True)
class Figure:
    """A number that an estimate rests on, with where it comes from, for people."""

    value: float
    source: Source
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """What is known before a run; None for what is not.

    :param units: rows of the input partition: videos, clips or images.
    :param hours: hours of video.
    :param rows: frames or images that go to the models.
    :param rows_per_unit: of one row of the input, and its hours of video.
    :param input_tokens: of one labelled row, repair rounds included; the others likewise.
    """

    units: Figure | None = None
    hours: Figure | None = None
    rows: Figure | None = None
    rows_per_unit: Figure | None = None
    hours_per_unit: Figure | None = None
    input_tokens: Figure | None = None
    output_tokens: Figure | None = None
    embedding_tokens: Figure | None = None

    def over(self, other: Figures) -> Figures:
        """Return these figures, with those of ``other`` where there is none."""
        known = {name: getattr(self, name) for name in vars(self) if getattr(self, name) is not None}
        return replace(other, **known)


class NotEnoughKnown(ValueError):
    """An estimate that figures are missing for; the message says which, and how to give them."""


@dataclass(frozen=True)
class Share:
    """What some rows take.

    :param calls: one for each row and stage.
    :param most_calls: with all repair rounds that the scenario allows.
    """

    rows: int
    calls: int
    most_calls: int
    tokens: Tokens
    spending: Spending


@dataclass(frozen=True)
class Estimate:
    """What is expected of a partition of which nothing is published yet.

    :param figures: what it rests on, by name.
    :param all: the whole partition.
    :param run: one run, which is less when ``max_rows`` or ``max_calls`` stops it.
    :param runs: runs until the partition is complete; 0 when a row takes more than a run may have.
    """

    figures: dict[str, Figure]
    calls_per_row: dict[str, int]
    all: Share
    run: Share
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON-serialisable values."""
        return asdict(self)


def estimate(plan: Plan, known: Figures) -> Estimate:
    """Return what a run of a plan is expected to take; raise NotEnoughKnown when too little is known."""
    worker = next((task for task in plan.tasks if task.kind is not StageKind.MANIFEST), None)
    if worker is None:
        raise NotEnoughKnown("this scenario only lists objects: there is nothing to estimate")
    figures = dict(_volume(worker, known))
    models = next((task for task in plan.tasks if task.models), None)
    calls = _calls_per_row(models)
    figures.update(_tokens_per_row(models, known))
    rows = round(figures["rows"].value)
    capped = _rows_in_budget(plan, rows, sum(calls.values()))
    whole = _share(plan, figures, calls, rows, rows)
    run = whole if capped == rows else _share(plan, figures, calls, capped, rows)
    return Estimate(figures, calls, whole, run, math.ceil(rows / capped) if capped else int(rows == 0))


def _volume(task: StagePlan, known: Figures) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a partition's size, ``rows`` last."""
    hours = known.hours or _times(known.units, known.hours_per_unit, "hours of an input row")
    if known.units is not None:
        yield "units", known.units
    if hours is not None:
        yield "hours", hours
    yield "rows", known.rows or _rows(task, known)


def _rows(task: StagePlan, known: Figures) -> Figure:
    """Return how many rows go to the models: what the scenario says goes before what was measured."""
    per_unit = _times(known.units, known.rows_per_unit, "rows of an input row")
    if task.frames is not None and task.frames.fps is not None:
        if known.hours is not None:
            frames = math.ceil(Fraction(str(known.hours.value)) * 3600 * Fraction(task.frames.fps))
            return Figure(frames, Source.FOLLOWS, f"hours at {task.frames.fps} frames per second")
        if per_unit is None:
            raise NotEnoughKnown("how many hours of video? Say --hours H or --frames N" + OR_MEASURE)
        return per_unit
    if known.units is None:
        raise NotEnoughKnown("how large is the input? Say --rows N or --frames N" + OR_MEASURE)
    if task.frames is not None and task.frames.sample_count is not None:
        frames = round(known.units.value) * task.frames.sample_count
        return Figure(frames, Source.FOLLOWS, f"{task.frames.sample_count} frames per video")
    if Stage.KEYFRAME_EXPANSION not in task.stages:
        return Figure(known.units.value, Source.FOLLOWS, "one of each input row")
    if task.keyframes is not None and task.keyframes.count is not None:
        keyframes = round(known.units.value) * task.keyframes.count
        return Figure(keyframes, Source.FOLLOWS, f"at most {task.keyframes.count} keyframes per clip")
    if per_unit is None:
        raise NotEnoughKnown("how many keyframes? Say --frames N" + OR_MEASURE)
    return per_unit


def _times(units: Figure | None, each: Figure | None, what: str) -> Figure | None:
    if units is None or each is None:
        return None
    return Figure(units.value * each.value, each.source, f"{each.value:.4g} {what}, {each.note}")


def _calls_per_row(task: StagePlan | None) -> dict[str, int]:
    """Return the calls of each stage that one row takes at most."""
    if task is None:
        return {}
    return {stage: 1 + (_repair_rounds(task) if stage == Stage.LABEL else 0) for stage in task.models}


def _repair_rounds(task: StagePlan) -> int:
    return task.labels.repair_rounds if task.labels and task.labels.label_schema else 0


def _tokens_per_row(task: StagePlan | None, known: Figures) -> Iterator[tuple[str, Figure]]:
    if task is None:
        return
    if task.labels is not None:
        yield "input_tokens", known.input_tokens or _assumed_input(task.labels)
        answer = min(_ANSWER_TOKENS, task.labels.max_tokens)
        note = "a short JSON object"
        yield "output_tokens", known.output_tokens or Figure(answer, Source.ASSUMED, note)
    embedded = {}
    if task.embedding is not None:
        embedded["a 1280x720 picture"] = _IMAGE_TOKENS
    if task.label_embedding is not None:
        embedded["a label"] = _ANSWER_TOKENS
    if embedded:
        note = ", ".join(f"{tokens:,} of {what}" for what, tokens in embedded.items())
        assumed = Figure(sum(embedded.values()), Source.ASSUMED, note)
        yield "embedding_tokens", known.embedding_tokens or assumed


def _assumed_input(labels: LabelOptions) -> Figure:
    prompt = math.ceil(len(whole_prompt(labels)) / _CHARACTERS_PER_TOKEN)
    note = f"{_IMAGE_TOKENS:,} of a 1280x720 picture, {prompt:,} of the prompt"
    return Figure(_IMAGE_TOKENS + prompt, Source.ASSUMED, note)


def _rows_in_budget(plan: Plan, rows: int, calls_per_row: int) -> int:
    caps = [rows]
    if calls_per_row and plan.selection.max_rows is not None:
        caps.append(plan.selection.max_rows)
    if calls_per_row and plan.selection.max_calls is not None:
        caps.append(plan.selection.max_calls // calls_per_row)
    return min(caps)


def _share(plan: Plan, figures: dict[str, Figure], calls: dict[str, int], rows: int, all_rows: int) -> Share:
    def tokens(name: str) -> int:
        return round(rows * figures[name].value) if name in figures else 0

    used = Tokens(tokens("input_tokens"), tokens("output_tokens"), tokens("embedding_tokens"))
    hours = figures["hours"].value * rows / all_rows if "hours" in figures and all_rows else None
    return Share(
        rows, rows * len(calls), rows * sum(calls.values()), used, spending_of(rows, hours, used, plan.prices)
    )
