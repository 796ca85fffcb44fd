"""The documentation of one task, for its page in Airflow's UI."""

from __future__ import annotations

from airflow_provider_drivepipe.documents.markdown import bullet, code, codes, section
from airflow_provider_drivepipe.scenario.plan import TaskPlan


def task_doc(task: TaskPlan) -> str:
    """Return what a task does, stage by stage, and what a retry or a Clear of it does, as Markdown."""
    stages = []
    for stage in task.stages:
        guide = stage.guide()
        by = f" ({code(stage.model)})" if stage.model else ""
        stages.append(f"**{stage.name}**: {guide.does}{by}.")
        stages.append(bullet(f"A failure concerns one {guide.unit}. {guide.fails}"))
        stages += [bullet(guide.leaves_out)] if guide.leaves_out else []
        stages += [bullet(f"A retry or a Clear: {guide.again[:1].lower()}{guide.again[1:]}")]
    return section(
        f"Reads {codes(task.tables_read)}, writes {code(task.output_table.name)}.",
        *stages,
    )
