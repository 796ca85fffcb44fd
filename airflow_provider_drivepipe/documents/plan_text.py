"""The text of a plan for people: what the CLI prints."""

from __future__ import annotations

from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan


def plan_text(plan: Plan, partition_value: str | None) -> str:
    """Return a plan as plain text."""
    lines = [plan_heading(plan, partition_value)]
    for number, task in enumerate(plan.tasks, start=1):
        lines += ["", f"{number}. task {task.task_id} ({task.operator})", *_task_lines(task)]
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


def _task_lines(task: TaskPlan) -> list[str]:
    partitioned_by = ", ".join(task.output_table.partition_columns)
    lines = [
        f"   stages   {', '.join(task.stage_names)}",
        f"   reads    {task.source}",
        f"   writes   {task.output_table.name}, partitioned by {partitioned_by}",
    ]
    for stage in task.stages:
        if stage.model:
            lines.append(f"   model    {stage.model} ({stage.name})")
        lines += [f"   {what:<8} {said}" for what, said in stage.facts().items()]
    lines.append("   columns")
    width = max(len(c.name) for c in task.output_table.columns)
    lines += [f"     {c.name:<{width}}  {c.type}" for c in task.output_table.columns]
    if not task.lineage_known:
        lines.append(f"     (and every further column of {task.source}, unchanged)")
    return lines
