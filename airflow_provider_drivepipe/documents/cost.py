"""Part of the walkthrough: what models cost, and what stops a run from costing more."""

from __future__ import annotations

from airflow_provider_drivepipe.documents.markdown import bullet, code, fenced, paragraph, section
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.stages.stage import ONE_OF_EACH


def cost(plan: Plan) -> str:
    """Return the section; empty for a pipeline that calls no model."""
    if not any(task.models for task in plan.tasks):
        return ""
    return section(
        "## Cost",
        paragraph("Expected before a run, and measured once something is published (a pilot will do):"),
        fenced(
            "bash",
            f"drivepipe plan FILE --estimate {_size(plan)}\ndrivepipe plan FILE --measure --partition VALUE",
        ),
        paragraph(
            "After a run, the report's `tokens` and `spending` say what it took: in all, per 1,000 rows",
            "and, where frames have times, per hour of video. The param `limit` makes a run a pilot.",
        ),
        "\n".join([_prices(plan), *_caps(plan)]),
    )


def _size(plan: Plan) -> str:
    """Return options that give an estimate the size of an input, as an example."""
    first = next(task for task in plan.tasks if not task.is_listing)
    made = first.unit.rows_made() if first.unit else ONE_OF_EACH
    units = (task.unit.rows_made() for task in plan.tasks if task.unit)
    if made.per_hour is not None or any(each.of_length for each in units):
        return "--videos 100 --hours 5"
    return "--rows 100" if made.per_unit is not None else "--rows 100 --frames 800"


def _prices(plan: Plan) -> str:
    prices = plan.prices
    if prices is None:
        return bullet("There is no price table (`prices`), so tokens are counted and cost is not.")
    kinds = {"input": prices.input, "output": prices.output, "embedding": prices.embedding}
    said = ", ".join(f"{kind} {price:g}" for kind, price in kinds.items() if price is not None)
    picture = "" if prices.picture is None else f"; per picture that is drawn {prices.picture:g}"
    return bullet(f"Prices in {code(prices.currency)} per {prices.per_tokens:,} tokens: {said}{picture}.")


def _caps(plan: Plan) -> list[str]:
    caps = {"max_rows": plan.selection.max_rows, "max_calls": plan.selection.max_calls}
    named = [code(f"{name}: {cap}") for name, cap in caps.items() if cap is not None]
    if not named:
        return [bullet("A run has no cap (`max_rows`, `max_calls`).")]
    return [
        bullet(
            f"A run stops at {' and '.join(named)}: the rows beyond are `skipped` with `error_type` "
            "`budget`, the task does not fail, and the next run or a Clear takes them up. An answer counts "
            "as the calls that it takes with all of its repair rounds."
        )
    ]
