"""What a run is expected to take from the models: rows, calls, tokens, cost. Pure: plan and figures in."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Spending, Tokens
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.scenario.prices import spending_of
from airflow_provider_drivepipe.stages.content import Content, Image, Text, TextBy, TextColumn, Video
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.stage import ONE_OF_EACH, RowsMade, RowStage

_IMAGE_TOKENS = 1200
"""Of a picture of 1280 by 720 pixels, at one token per 28 by 28 pixels."""
_TEXT_TOKENS = 200
"""Of an answer, or of a text of a row."""
_CHARACTERS_PER_TOKEN = 4
VIDEO_NOT_KNOWN = "a video, whose tokens are not known"
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
    :param tasks: where several tasks call models, what each took: ``rows_per_unit``, of rows of the plan's
        input, and tokens.
    """

    units: Figure | None = None
    hours: Figure | None = None
    rows: Figure | None = None
    rows_per_unit: Figure | None = None
    hours_per_unit: Figure | None = None
    input_tokens: Figure | None = None
    output_tokens: Figure | None = None
    embedding_tokens: Figure | None = None
    tasks: Mapping[str, Figures] | None = None

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
class Step:
    """What one task takes that calls models.

    :param rows: that it asks models about, and where that number comes from.
    :param tokens: of one row, by kind.
    :param runs: until all rows are done; 0 when a row takes more than a run may have.
    """

    task_id: str
    rows: Figure
    calls_per_row: dict[str, int]
    tokens: dict[str, Figure]
    all: Share
    run: Share
    runs: int


@dataclass(frozen=True)
class Estimate:
    """What is expected of a partition of which nothing is published yet.

    :param figures: what it rests on, by name; where several tasks call models, each step has its own tokens.
    :param all: the whole partition; its rows are those of the last task.
    :param run: one run, which is less when ``max_rows`` or ``max_calls`` stops it.
    :param runs: runs until the partition is complete; 0 when a row takes more than a run may have.
    """

    figures: dict[str, Figure]
    calls_per_row: dict[str, int]
    steps: tuple[Step, ...]
    all: Share
    run: Share
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as JSON-serialisable values."""
        return asdict(self)


def estimate(plan: Plan, known: Figures) -> Estimate:
    """Return what a run of a plan is expected to take; raise NotEnoughKnown when too little is known."""
    first = next((task for task in plan.tasks if not task.is_listing), None)
    if first is None:
        raise NotEnoughKnown("this scenario only lists objects: there is nothing to estimate")
    figures = dict(_volume(first, known))
    rows = dict(_rows_of_tasks(plan, figures, known))
    steps = tuple(_step(plan, task, rows[task.task_id], figures, known) for task in plan.tasks if task.models)
    if len(steps) == 1:
        figures.update(steps[0].tokens)
    last = round(list(rows.values())[-1].value)
    hours = figures.get("hours")
    whole = _sum(plan, hours, last, last, [step.all for step in steps])
    run = whole
    if any(step.run != step.all for step in steps):
        run = _sum(plan, hours, steps[-1].run.rows, last, [step.run for step in steps])
    calls = {stage: n for step in steps for stage, n in step.calls_per_row.items()}
    return Estimate(figures, calls, steps, whole, run, _runs([step.runs for step in steps]))


def _rows_of_tasks(plan: Plan, figures: dict[str, Figure], known: Figures) -> Iterator[tuple[str, Figure]]:
    """Yield how many rows each task has, which follows from those of the task that it reads."""
    made: dict[str, Figure] = {}
    measured = known.tasks or {}
    units, hours = figures.get("units"), figures.get("hours")
    seconds = (
        Fraction(hours.value) * 3600 / Fraction(units.value) if hours and units and units.value else None
    )
    for task in (task for task in plan.tasks if task.is_job):
        source = made.get(task.gather.tables[0] if task.gather else task.source)
        took = measured.get(task.task_id, Figures()).rows_per_unit
        if took is not None and units is not None:
            rows = Figure(round(units.value * took.value), took.source, took.note)
        elif source is None:
            rows = figures["rows"]
        else:
            rows = _rows_of(task, source, seconds)
        made[task.output_table.name] = rows
        yield task.task_id, rows


def _rows_of(task: TaskPlan, source: Figure, seconds: Fraction | None) -> Figure:
    """Return the rows that a task makes of those of another one."""
    made = task.unit.rows_made() if task.unit else ONE_OF_EACH
    selects = task.gather is not None and task.gather.selects
    if made == ONE_OF_EACH and not selects:
        return source
    if made.of_length is not None and seconds is not None:
        each = made.of_length(seconds)
        made = RowsMade(each, note=f"{each} of a video of {float(seconds):.4g} s")
    elif selects:
        made = RowsMade(1, note="at most, for it takes chosen ones alone")
    if made.per_unit is None:
        made_of = task.unit.guide().gives if task.unit else "rows"
        raise NotEnoughKnown(f"how many {made_of}? --partition VALUE --measure looks at what is published")
    return Figure(round(round(source.value) * made.per_unit), Source.FOLLOWS, made.note)


def _step(plan: Plan, task: TaskPlan, rows: Figure, figures: dict[str, Figure], known: Figures) -> Step:
    stages = [stage for stage in task.row_stages if stage.model]
    calls = {stage.name: stage.part().calls for stage in stages}
    took = (known.tasks or {}).get(task.task_id, Figures())
    tokens = dict(_tokens_per_row(stages, known.over(took)))
    count = round(rows.value)
    capped = _rows_in_budget(plan, count, sum(calls.values()))
    hours = figures.get("hours")
    whole = _share(plan, hours, tokens, calls, count, count)
    run = whole if capped == count else _share(plan, hours, tokens, calls, capped, count)
    return Step(task.task_id, rows, calls, tokens, whole, run, _runs_of(count, capped))


def _runs_of(rows: int, capped: int) -> int:
    return math.ceil(rows / capped) if capped else int(rows == 0)


def _runs(of_steps: Sequence[int]) -> int:
    """Return how many runs all steps take: as many as the one that takes most, 0 where one never ends."""
    return max(of_steps, default=1) if all(of_steps) else 0


def _sum(plan: Plan, hours: Figure | None, rows: int, all_rows: int, shares: Sequence[Share]) -> Share:
    if len(shares) == 1:
        return shares[0]
    tokens = Tokens(
        sum(share.tokens.input for share in shares),
        sum(share.tokens.output for share in shares),
        sum(share.tokens.embedding for share in shares),
    )
    return Share(
        rows,
        sum(share.calls for share in shares),
        sum(share.most_calls for share in shares),
        tokens,
        spending_of(rows, _hours_of(hours, rows, all_rows), tokens, plan.prices),
    )


def _volume(task: TaskPlan, known: Figures) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of a partition's size, ``rows`` last."""
    hours = known.hours or _times(known.units, known.hours_per_unit, "hours of an input row")
    if known.units is not None:
        yield "units", known.units
    if hours is not None:
        yield "hours", hours
    yield "rows", known.rows or _rows(task, known)


def _rows(task: TaskPlan, known: Figures) -> Figure:
    """Return how many rows go to the models: what the scenario says goes before what was measured."""
    per_unit = _times(known.units, known.rows_per_unit, "rows of an input row")
    made = task.unit.rows_made() if task.unit else ONE_OF_EACH
    if made.per_hour is not None and known.hours is not None:
        rows = math.ceil(Fraction(str(known.hours.value)) * made.per_hour)
        return Figure(rows, Source.FOLLOWS, made.note)
    if made.per_unit is not None and known.units is not None:
        return Figure(round(round(known.units.value) * made.per_unit), Source.FOLLOWS, made.note)
    if made.per_hour is not None and per_unit is None:
        raise NotEnoughKnown("how many hours of video? Say --hours H or --frames N" + OR_MEASURE)
    if per_unit is not None:
        return per_unit
    if known.units is None:
        raise NotEnoughKnown("how large is the input? Say --rows N or --frames N" + OR_MEASURE)
    made_of = task.unit.guide().gives if task.unit else "rows"
    raise NotEnoughKnown(f"how many {made_of}? Say --frames N" + OR_MEASURE)


def _times(units: Figure | None, each: Figure | None, what: str) -> Figure | None:
    if units is None or each is None:
        return None
    return Figure(units.value * each.value, each.source, f"{each.value:.4g} {what}, {each.note}")


def _tokens_per_row(stages: Sequence[RowStage], known: Figures) -> Iterator[tuple[str, Figure]]:
    """Yield the tokens of a row, by kind, of all stages together."""
    assumed: dict[str, list[tuple[int, str]]] = {}
    for stage in stages:
        if isinstance(stage, Generate):
            assumed.setdefault("input_tokens", []).extend(_assumed_input(stage))
            answer = min(_TEXT_TOKENS, stage.max_tokens), f"a short {stage.name}"
            assumed.setdefault("output_tokens", []).append(answer)
        elif isinstance(stage, Embed):
            assumed.setdefault("embedding_tokens", []).append(_assumed_content(stage.of))
    for name, parts in assumed.items():
        note = ", ".join(f"{tokens:,} of {what}" for tokens, what in parts)
        yield name, getattr(known, name) or Figure(sum(n for n, _ in parts), Source.ASSUMED, note)


def _assumed_input(stage: Generate) -> Iterator[tuple[int, str]]:
    """Yield the tokens of a message; of prompts that rows choose from, those of the longest."""
    said, characters = list(stage.message), len(stage.whole_prompt)
    if isinstance(chosen := said[-1], TextBy):
        longest = max((pieces for _, pieces in chosen.texts), key=_characters)
        said, characters = [*said[:-1], *longest], _characters(longest)
    yield from (_assumed_content(each) for each in said if isinstance(each, Image | TextColumn))
    yield math.ceil(characters / _CHARACTERS_PER_TOKEN), "the prompt"
    if any(isinstance(each, Video) for each in said):
        yield 0, VIDEO_NOT_KNOWN


def _characters(pieces: Sequence[Content]) -> int:
    return sum(len(each.text) for each in pieces if isinstance(each, Text))


def _assumed_content(content: Image | TextColumn) -> tuple[int, str]:
    if isinstance(content, Image):
        return _IMAGE_TOKENS, "a 1280x720 picture"
    return _TEXT_TOKENS, content.column


def _rows_in_budget(plan: Plan, rows: int, calls_per_row: int) -> int:
    caps = [rows]
    if calls_per_row and plan.selection.max_rows is not None:
        caps.append(plan.selection.max_rows)
    if calls_per_row and plan.selection.max_calls is not None:
        caps.append(plan.selection.max_calls // calls_per_row)
    return min(caps)


def _share(
    plan: Plan,
    hours: Figure | None,
    tokens_per_row: Mapping[str, Figure],
    calls: Mapping[str, int],
    rows: int,
    all_rows: int,
) -> Share:
    def tokens(name: str) -> int:
        return round(rows * tokens_per_row[name].value) if name in tokens_per_row else 0

    used = Tokens(tokens("input_tokens"), tokens("output_tokens"), tokens("embedding_tokens"))
    return Share(
        rows,
        rows * len(calls),
        rows * sum(calls.values()),
        used,
        spending_of(rows, _hours_of(hours, rows, all_rows), used, plan.prices),
    )


def _hours_of(hours: Figure | None, rows: int, all_rows: int) -> float | None:
    return hours.value * rows / all_rows if hours is not None and all_rows else None
