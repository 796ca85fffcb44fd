"""The text of a plan for people: what the CLI prints and the DAG's documentation shows."""

from __future__ import annotations

from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import KeyframeOptions
from airflow_provider_drivepipe.scenario.plan import Plan, StagePlan
from airflow_provider_drivepipe.scenario.walkthrough import walkthrough


def plan_text(plan: Plan, partition_value: str | None) -> str:
    """Return a plan as plain text."""
    lines = [plan_heading(plan, partition_value)]
    for number, task in enumerate(plan.tasks, start=1):
        lines += ["", f"{number}. task {task.task_id} ({task.kind})", *_task_lines(task)]
    return "\n".join(lines)


def plan_heading(plan: Plan, partition_value: str | None) -> str:
    """Return which scenario, DAG, connection and partition a plan is of."""
    value = partition_value or f"<{plan.partition.key_format}>"
    caps = {"max_rows": plan.selection.max_rows, "max_calls": plan.selection.max_calls}
    budget = ", ".join(f"{name} {cap:,}" for name, cap in caps.items() if cap is not None)
    lines = [
        f"scenario    {plan.scenario}",
        f"dag         {plan.dag_id}",
        f"connection  {plan.conn_id}",
        f"partition   {plan.partition.columns[0]}={value} ({plan.partition.timezone})",
    ]
    return "\n".join([*lines, f"budget      {budget} per run"] if budget else lines)


def _task_lines(task: StagePlan) -> list[str]:
    partitioned_by = ", ".join(task.output_table.partition_columns)
    lines = [
        f"   stages   {', '.join(task.stages)}",
        f"   reads    {task.source}",
        f"   writes   {task.output_table.name}, partitioned by {partitioned_by}",
    ]
    if task.frames:
        rate = (
            f"{task.frames.fps} frames per second"
            if task.frames.fps
            else f"{task.frames.sample_count} frames per video"
        )
        lines.append(f"   frames   {rate}, {task.frames.sampling_rule}, below {task.frames.frames_prefix}/")
    if task.quality:
        rules = ", ".join(
            f"{rule} ({key} {getattr(task.quality, key):g})" for key, rule in task.quality.rules().items()
        )
        lines.append(f"   leaves out {rules or 'nothing, but frames are measured'}")
    if task.keyframes:
        count, stride = task.keyframes.count, task.keyframes.stride
        chosen = f"{count} per clip" if count else f"every {stride}th image" if stride else "all images"
        lines.append(f"   clips    {chosen}; columns {', '.join(_clip_columns(task.keyframes))}")
    if task.images:
        size = task.images.exact_size or task.images.longest_side
        shown = "x".join(map(str, size)) if isinstance(size, tuple) else f"longest side {size}"
        written = f"below {task.images.prepared_prefix}/" if task.images.write_back else "not written"
        lines.append(f"   images   {shown if size else 'size kept'}, {written}")
    lines += [f"   model    {model} ({stage})" for stage, model in task.models.items()]
    lines.append("   columns")
    width = max(len(c.name) for c in task.output_table.columns)
    lines += [f"     {c.name:<{width}}  {c.type}" for c in task.output_table.columns]
    if not task.lineage_known:
        lines.append(f"     (and every further column of {task.source}, unchanged)")
    return lines


def _clip_columns(options: KeyframeOptions) -> list[str]:
    columns = (options.clip_id_column, options.clip_dir_column, options.start_column, options.end_column)
    return [column for column in columns if column is not None]


def dag_doc(scenario: Scenario, plan: Plan) -> str:
    """Return the DAG's documentation as Markdown: the scenario's walkthrough."""
    return walkthrough(scenario, plan)
