"""An estimate as text for people: every figure with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_drivepipe.documents.estimate import VIDEO_NOT_KNOWN, Estimate, Share, Source
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.scenario.prices import amount_text, spending_text

_NAMES = {
    "units": "input rows",
    "hours": "hours of video",
    "rows": "frames or images",
    "input_tokens": "input tokens per row",
    "output_tokens": "output tokens per row",
    "embedding_tokens": "embedding tokens per row",
}


def estimate_text(plan: Plan, found: Estimate) -> str:
    """Return an estimate as plain text."""
    lines = ["estimate    one partition, nothing published yet", "", "   from"]
    by_step = len(found.steps) > 1
    figures = {name: f for name, f in found.figures.items() if not (by_step and name == "rows")}
    width = max(len(_NAMES[name]) for name in figures)
    for name, figure in figures.items():
        origin = f"{figure.source}: {figure.note}" if figure.note else str(figure.source)
        lines.append(f"     {_NAMES[name]:<{width}}  {figure.value:>12,.10g}  {origin}")
    if not found.calls_per_row:
        return "\n".join([*lines, "", "   this scenario calls no model"])
    rows = "rows"
    if by_step:
        last = [task for task in plan.tasks if task.is_job][-1].unit
        rows = last.guide().gives if last else rows
        lines += ["", *_steps(plan, found)]
    lines += ["", *_share("the whole partition", found.all, plan, rows)]
    if found.run != found.all:
        lines += ["", *_share("one run", found.run, plan, rows), *_caps(plan, found)]
    lines += ["", *_hints(plan, found)]
    return "\n".join(lines).rstrip()


def _steps(plan: Plan, found: Estimate) -> Iterator[str]:
    """Yield what each task takes, and where its rows and tokens come from."""
    priced = plan.prices is not None
    heads = ("rows", "calls", "repairs", "input", "output", *(["cost"] if priced else []))
    width = max(len(step.task_id) for step in found.steps)
    yield f"   {'by task':<{width + 2}}{''.join(f'{head:>11}' for head in heads)}  rows"
    for step in found.steps:
        share = step.all
        counts = (share.rows, share.calls, share.most_calls - share.calls, share.tokens.input)
        said = [f"{count:,}" for count in (*counts, share.tokens.output)]
        said += [amount_text(share.spending.cost)] if share.spending.cost is not None else []
        note = step.rows.note or str(step.rows.source)
        yield f"     {step.task_id:<{width}}{''.join(f'{text:>11}' for text in said)}  {note}"
    sources = dict.fromkeys(figure.source for step in found.steps for figure in step.tokens.values())
    said = []
    if Source.ASSUMED in sources:
        said.append("assumed from the prompts, 1,200 a picture, 200 a text")
    if any(VIDEO_NOT_KNOWN in figure.note for step in found.steps for figure in step.tokens.values()):
        said.append("those of videos are not known")
    yield f"     input and output are tokens, {'; '.join(said) or ' and '.join(sources)}"


def _share(heading: str, share: Share, plan: Plan, rows: str) -> Iterator[str]:
    yield f"   {heading}"
    yield f"     {rows:<7} {share.rows:,}"
    more = share.most_calls - share.calls
    repairs = f", and up to {more:,} more to repair answers" if more else ""
    yield f"     calls   {share.calls:,}{repairs}"
    kinds = {"input": share.tokens.input, "output": share.tokens.output, "embedding": share.tokens.embedding}
    yield f"     tokens  {', '.join(f'{n:,} {kind}' for kind, n in kinds.items() if n) or '0'}"
    if plan.prices is not None:
        yield f"     cost    {spending_text(share.spending, rows)}"


def _caps(plan: Plan, found: Estimate) -> Iterator[str]:
    caps = {"max_rows": plan.selection.max_rows, "max_calls": plan.selection.max_calls}
    said = ", ".join(f"{name}: {cap:,}" for name, cap in caps.items() if cap is not None)
    if not found.runs:
        yield f"     {said} is less than one row takes: no model is ever called"
        return
    yield f"     {said}; the other rows are skipped, and {found.runs:,} runs complete the partition"


def _hints(plan: Plan, found: Estimate) -> Iterator[str]:
    tokens = [figure for step in found.steps for figure in step.tokens.values()]
    if any(figure.source is Source.ASSUMED for figure in (*found.figures.values(), *tokens)):
        yield "   To measure what is assumed: run a pilot (param limit), then --partition VALUE --measure."
    if plan.prices is None:
        yield "   For the cost, give the scenario a price table (prices)."
