"""Parts of the walkthrough: partitions, how to run by hand, params of a run, failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.documents.markdown import (
    bullet,
    code,
    codes,
    fenced,
    paragraph,
    plain,
    section,
    table,
)
from airflow_provider_drivepipe.documents.queries import example_partition
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import Granularity
from airflow_provider_drivepipe.scenario.partition import example_key, parse_partition_key
from airflow_provider_drivepipe.scenario.partition_calendar import period_length, unit_name
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.stages.stage import RowStage, Stage


def partitions_and_runs(scenario: Scenario, plan: Plan) -> str:
    """Return which partition a run owns, and who decides."""
    column, unit = code(plan.partition.columns[0]), unit_name(plan.partition.granularity)
    return section(
        "## Partitions and runs",
        paragraph(
            f"A run owns one partition of every table, one per {unit}, such as",
            f"{code(example_partition(plan.partition).path())}.",
            _who_decides(scenario, plan),
        ),
        paragraph(
            f"Asked in this order, the first that is there decides: the run's partition key; {column} in its",
            f"conf; {column} in its params; its logical date in the time zone {plan.partition.timezone}. A",
            "run that has none of them fails and says so. Two runs never write one partition at the same",
            "time: the second one waits.",
        ),
        paragraph(
            "A retry, a Clear, a backfill and a new run of a partition are all the same thing: rows that are",
            "`ok` and current stay, the others are done again "
            f"({code(f'reprocess: {plan.selection.reprocess}')}).",
        ),
    )


def _who_decides(scenario: Scenario, plan: Plan) -> str:
    if scenario.schedule is None:
        return (
            "There is no `schedule`: the DAG runs when someone triggers it, and whoever does names the "
            "partition."
        )
    unit, lag = unit_name(plan.partition.granularity), scenario.partition_lag
    start = _example_time(plan) + lag * period_length(plan.partition.granularity)
    daily = plan.partition.granularity is Granularity.DAILY
    shown = f"{start:%Y-%m-%d}" if daily else f"{start:%Y-%m-%d %H}:00"
    return (
        f"Runs start by the cron expression {code(scenario.schedule)}, time zone {plan.partition.timezone}, "
        f"and own the partition of {lag} {unit}{'' if lag == 1 else 's'} before (`partition_lag`): a run in "
        f"the {unit} {shown} owns {code(example_key(plan.partition.key_format))}."
    )


def _example_time(plan: Plan) -> datetime:
    key_format = plan.partition.key_format
    return parse_partition_key(example_key(key_format), key_format)


def commands_by_hand(plan: Plan) -> str:
    """Return how to run, back-fill and clear: in the UI, on the command line, over REST."""
    key, column = code(example_key(plan.partition.key_format)), code(plan.partition.columns[0])
    return section(
        "### By hand",
        paragraph(
            f"In the UI: *Trigger*, then {key} as {column} in the form, or as *Partition Key* under",
            "*Advanced Options*. *Clear* on a run or a task does it again. On the command line:",
        ),
        fenced("bash", "\n".join(_command_lines(plan))),
        paragraph(
            "Over REST, with `AIRFLOW` as the address of Airflow and `TOKEN` as the `access_token` that",
            "`POST $AIRFLOW/auth/token` gives:",
        ),
        fenced("bash", "\n".join(_rest_calls(plan))),
    )


def _command_lines(plan: Plan) -> Iterator[str]:
    dag, key = plan.dag_id, example_key(plan.partition.key_format)
    first, last = _backfill_bounds(plan)
    yield "# one partition"
    yield f"airflow dags trigger {dag} \\"
    yield f"    --conf '{json.dumps({plan.partition.columns[0]: key})}'"
    yield "# a range: those without a run yet; --reprocess-behavior failed: failed ones too"
    yield f"airflow backfill create --dag-id {dag} \\"
    yield f"    --from-date {first} --to-date {last} --dry-run"
    yield "# (--dry-run shows what would run; leave it out to run it)"
    yield "# again: the runs that have this partition key"
    yield f"airflow dags clear {dag} --partition-key {key} --yes"
    yield "# again: a run that got its partition from --conf"
    yield f"airflow dags clear {dag} --run-id RUN_ID --yes"


def _backfill_bounds(plan: Plan) -> tuple[str, str]:
    """Return the first and last partition date of an example, both included."""
    end = _example_time(plan)
    if plan.partition.granularity is Granularity.HOURLY:
        return f"{end:%Y-%m-%d}T00:00", f"{end:%Y-%m-%d}T23:00"
    return f"{end - timedelta(days=6):%Y-%m-%d}", f"{end:%Y-%m-%d}"


def _rest_calls(plan: Plan) -> Iterator[str]:
    dag, key = plan.dag_id, example_key(plan.partition.key_format)
    task = plan.tasks[-1].task_id
    first, last = _backfill_bounds(plan)
    yield "post() {"
    yield '    curl -X POST "$AIRFLOW/api/v2/$1" -H "Authorization: Bearer $TOKEN" \\'
    yield "        -H 'Content-Type: application/json' -d \"$2\""
    yield "}"
    yield "# one partition"
    yield from _post(f"dags/{dag}/dagRuns", {"logical_date": None, "partition_key": key})
    yield "# a range of partitions"
    yield from _post("backfills", {"dag_id": dag, "from_date": first, "to_date": last})
    yield "# again: the runs that have this partition key"
    yield from _post(f"dags/{dag}/clearDagRuns", {"dry_run": False, "partition_key": key})
    yield f"# again: the task {task} of one run"
    yield from _post(
        f"dags/{dag}/clearTaskInstances",
        {"dry_run": False, "dag_run_id": "RUN_ID", "task_ids": [task], "only_failed": False},
    )


def _post(path: str, body: dict[str, object]) -> Iterator[str]:
    yield f"post {path} \\"
    yield f"    '{json.dumps(body)}'"


_REPROCESS = (
    "`changed`: what is new, failed or made by another configuration; "
    "`failed`: what is new or failed, however often; `all`: everything, paid again"
)


def params_of_a_run(plan: Plan) -> str:
    """Return the params of the trigger form; the factory builds the form from the same plan."""
    return section(
        "### Params of a run",
        "In the trigger form, or in `conf` on the command line and over REST:",
        table(["param", "meaning", "when it is empty"], _params(plan)),
    )


def _params(plan: Plan) -> Iterator[list[str]]:
    yield [code(plan.partition.columns[0]), "the partition", "the partition key or the logical date decides"]
    if any(not task.is_listing for task in plan.tasks):
        yield [
            "`reprocess`",
            _REPROCESS,
            code(plan.selection.reprocess),
        ]
        yield ["`limit`", "pilot run: each task works on its first so many input units only", "no limit"]
    for name, param in plan.run_params.items():
        yield [code(name), plain(f"{param.title[0].lower()}{param.title[1:]}"), "as the scenario says"]
    yield ["`allow_shrink`", "publish also where a partition would lose too many of its rows", "`false`"]
    if any(task.is_listing for task in plan.tasks):
        yield ["`allow_empty`", "publish also when the listing finds nothing", "as the scenario says"]


def failures(scenario: Scenario, plan: Plan) -> str:
    """Return what the statuses mean, what each stage does with a failure, and what a retry pays again."""
    return section(
        "## Failures",
        paragraph(
            "Nothing is dropped: for every stage `rows_in = ok + failed + filtered + skipped`, and a task",
            "whose counts do not balance publishes nothing. The XCom `return_value` is the report with the",
            "counts by reason, `failure_counts` has the failed units of each stage.",
        ),
        table(["status", "meaning"], _STATUSES),
        paragraph(
            _gate(scenario),
            f"A row that failed {plan.selection.max_row_attempts} times (`max_row_attempts`) stays failed",
            "until its input or its configuration changes, or a run says `reprocess: failed`.",
        ),
        *(_stage_failures(task, stage) for task in plan.tasks for stage in task.stages),
        "### Errors of tasks",
        table(["error", "Airflow's retries"], _ERRORS),
    )


_STATUSES = (
    ("`ok`", "tried, and it worked"),
    ("`failed`", "tried, and it did not work: see `error_stage`, `error_type`, `error_msg`"),
    ("`filtered`", "left out on purpose, by a rule; later stages do not see it"),
    ("`skipped`", "not tried: beyond the limit or the budget of the run"),
)

_ERRORS = (
    ("`ConfigurationError`, `AuthenticationError`", "none: mend the scenario, connection or table first"),
    ("`DataGateError`", "none: published, but too many failures or too few rows; Clear works on what failed"),
    ("`UnbalancedCountsError`", "none: rows went missing, and nothing was published"),
    ("`QuotaError`", "after ten minutes"),
    ("`TransientError`", "after a minute; the job goes on, and the next try attaches to it"),
    ("`RemoteJobError`", "as usual; the message has the address of the LogView"),
)


def _gate(scenario: Scenario) -> str:
    gates = []
    if scenario.max_failure_rate < 1:
        gates.append(f"more than {scenario.max_failure_rate * 100:g} % of what a stage tried failed")
    if scenario.min_rows:
        gates.append(f"fewer than {scenario.min_rows} rows are `ok`")
    shrinks = (
        f"One that would take more than {scenario.max_shrink * 100:g} % of a partition's `ok` rows, or all, "
        "fails before it publishes, unless the run says `allow_shrink: true`."
    )
    if not gates:
        return f"Failed rows never fail the task (`max_failure_rate: 1`). {shrinks}"
    when = " or when ".join(gates)
    return f"A task fails when {when}; it publishes first, so a Clear works only on what failed. {shrinks}"


def _stage_failures(task: TaskPlan, stage: Stage) -> str:
    guide = stage.guide()
    reasons = guide.reasons
    if task.unit is None and isinstance(stage, RowStage) and stage.image_columns:
        # Images of a table go to models as they stand, but only those in the connection's OSS.
        reasons = (Reason.PATH_OUTSIDE_ROOT, *reasons)
    return section(
        f"### Stage {stage.name} (task {task.task_id})",
        "\n".join(
            [
                bullet(f"A failure concerns one {guide.unit}. {guide.fails}"),
                bullet(f"`error_type`: {codes(reasons)}."),
                *([bullet(guide.leaves_out)] if guide.leaves_out else []),
                bullet(f"A retry: {guide.again[0].lower()}{guide.again[1:]}"),
            ]
        ),
    )
