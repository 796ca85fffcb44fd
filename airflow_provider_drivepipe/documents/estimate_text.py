"""An estimate as text for people: every figure with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_drivepipe.documents.estimate import Estimate, Share, Source
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.scenario.prices import spending_text

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
    width = max(len(_NAMES[name]) for name in found.figures)
    for name, figure in found.figures.items():
        origin = f"{figure.source}: {figure.note}" if figure.note else str(figure.source)
        lines.append(f"     {_NAMES[name]:<{width}}  {figure.value:>12,.10g}  {origin}")
    if not found.calls_per_row:
        return "\n".join([*lines, "", "   this scenario calls no model"])
    lines += ["", *_share("the whole partition", found.all, plan)]
    if found.run != found.all:
        lines += ["", *_share("one run", found.run, plan), *_caps(plan, found)]
    lines += ["", *_hints(plan, found)]
    return "\n".join(lines).rstrip()


def _share(heading: str, share: Share, plan: Plan) -> Iterator[str]:
    yield f"   {heading}"
    yield f"     rows    {share.rows:,}"
    more = share.most_calls - share.calls
    repairs = f", and up to {more:,} more to repair answers" if more else ""
    yield f"     calls   {share.calls:,}{repairs}"
    kinds = {"input": share.tokens.input, "output": share.tokens.output, "embedding": share.tokens.embedding}
    yield f"     tokens  {', '.join(f'{n:,} {kind}' for kind, n in kinds.items() if n) or '0'}"
    if plan.prices is not None:
        yield f"     cost    {spending_text(share.spending)}"


def _caps(plan: Plan, found: Estimate) -> Iterator[str]:
    caps = {"max_rows": plan.selection.max_rows, "max_calls": plan.selection.max_calls}
    said = ", ".join(f"{name}: {cap:,}" for name, cap in caps.items() if cap is not None)
    if not found.runs:
        yield f"     {said} is less than one row takes: no model is ever called"
        return
    yield f"     {said}; the other rows are skipped, and {found.runs:,} runs complete the partition"


def _hints(plan: Plan, found: Estimate) -> Iterator[str]:
    if any(figure.source is Source.ASSUMED for figure in found.figures.values()):
        yield "   To measure what is assumed: run a pilot (param limit), then --partition VALUE --measure."
    if plan.prices is None:
        yield "   For the cost, give the scenario a price table (prices)."
