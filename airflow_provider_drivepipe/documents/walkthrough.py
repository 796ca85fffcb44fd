"""The walkthrough of a scenario as Markdown: the file that the CLI writes and the DAG's documentation.

Everything in it comes from the scenario and its plan, or holds for every scenario: no name of a model, an
endpoint, a bucket or a project is written here.
"""

from __future__ import annotations

from airflow_provider_drivepipe.documents.cost import cost
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
from airflow_provider_drivepipe.documents.queries import example_queries
from airflow_provider_drivepipe.documents.runs import (
    commands_by_hand,
    failures,
    params_of_a_run,
    partitions_and_runs,
)
from airflow_provider_drivepipe.documents.tables import (
    connection_and_settings,
    input_expected,
    left_out,
    output_tables,
)
from airflow_provider_drivepipe.pipelines.registry import FAMILIES
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan


def walkthrough(scenario: Scenario, plan: Plan) -> str:
    """Return the whole text; ``plan`` is the scenario's."""
    sections = (
        _what_it_does(scenario, plan),
        _one_job_or_two(scenario, plan),
        connection_and_settings(scenario, plan),
        input_expected(plan),
        output_tables(plan),
        left_out(scenario, plan),
        partitions_and_runs(scenario, plan),
        commands_by_hand(plan),
        params_of_a_run(plan),
        failures(scenario, plan),
        _models(plan),
        cost(plan),
        _queries(plan),
    )
    return "\n\n".join(part for part in sections if part) + "\n"


def _what_it_does(scenario: Scenario, plan: Plan) -> str:
    family = FAMILIES[scenario.pipeline]
    tasks = " → ".join(task.task_id for task in plan.tasks)
    rows = [
        [
            str(number),
            code(task.task_id),
            "; ".join(f"{code(stage.name)}: {stage.guide().does}" for stage in task.stages),
            codes(task.tables_read),
            code(task.output_table.name),
        ]
        for number, task in enumerate(plan.tasks, start=1)
    ]
    return section(
        f"# {scenario.scenario_name}",
        scenario.description.strip(),
        paragraph(
            f"Pipeline **{tasks}**, DAG {code(plan.dag_id)}.",
            f"It starts from {family.starts_from(scenario)}, and its `targets` ask for:",
        ),
        "\n".join(bullet(f"{code(target)}: {family.targets[target]}") for target in scenario.targets),
        "Tasks, in the order in which they run:",
        table(["", "task", "stages", "reads", "writes"], rows),
        paragraph("Each task works on one partition and reads what those before it published."),
    )


def _one_job_or_two(scenario: Scenario, plan: Plan) -> str:
    """The choice between one job and a table in between, and how to make the other one."""
    heading = "## One job or two"
    how = FAMILIES[scenario.pipeline].split
    if how is None:
        return ""
    first = next((task for task in reversed(plan.tasks) if task.unit), None)
    models = next((task for task in plan.tasks if task.models), None)
    if first is None or first.unit is None or models is None:
        lacking = "only calls models" if models else "calls no model"
        return section(heading, paragraph(f"There is nothing to split: this pipeline {lacking}."))
    split = how(scenario, first.unit)
    made = first.unit.guide().gives
    final = code(models.output_table.name)
    price = paragraph(
        "Changing from one to the other makes all rows of a partition again when it runs next, models",
        "included. Name another `output_table` to keep what is paid for.",
    )
    if first is models:
        return section(
            heading,
            paragraph(
                f"**Single job**, the default: one MaxFrame job makes the {made}, sends them to the models",
                f"at once and writes one table, {final}. No table of {made} stands in between. A retry still",
                "pays only for what is missing.",
            ),
            paragraph(
                f"Set {split.setting} when the {made} are wanted as a table of their own: for others, for",
                "an audit, or to retry and clear labels apart from them. Then one task writes",
                f"{code(split.table)} (another name for the first table:",
                "`output_tables: {frames: …}`),",
                f"and a second one reads it and writes {final}.",
            ),
            price,
        )
    return section(
        heading,
        paragraph(
            f"**Split-video**, because the scenario has {code(split.asked)}: task {code(first.task_id)}",
            f"publishes the table of {made} {code(first.output_table.name)}, task {code(models.task_id)}",
            f"reads that partition and writes {final}. Each is retried and cleared on its own.",
        ),
        paragraph(
            f"What is handed over: {_handed_over(models)} to the models, and all columns of the",
            f"{made} travel through. Rows that are not `ok` pass by with their reason and cost nothing.",
        ),
        paragraph(
            f"Remove {code(split.asked)} for a **single job**: one table, and no table of {made} in between.",
        ),
        price,
    )


def _handed_over(models: TaskPlan) -> str:
    made = {name for stage in models.row_stages for name in stage.part().column_names}
    read = (c for stage in models.row_stages for c in (*stage.image_columns, *stage.part().reads))
    names = [name for name in dict.fromkeys(read) if name not in made]
    return f"{codes(names)} {'go' if len(names) > 1 else 'goes'}"


def _models(plan: Plan) -> str:
    rows = [
        [
            code(stage.name),
            code(stage.model),
            ", ".join(f"{what} {plain(f)}" for what, f in stage.facts().items()),
        ]
        for task in plan.tasks
        for stage in task.stages
        if stage.model
    ]
    if not rows:
        return section("## Models", "None: this pipeline calls no model.")
    return section(
        "## Models",
        paragraph(
            "Loaded by name from the connection's `model_project`. No key of a model service is needed."
        ),
        table(["stage", "model", "settings"], rows),
    )


def _queries(plan: Plan) -> str:
    queries = [query for task in plan.tasks for query in example_queries(task, plan.partition)]
    return section(
        "## Queries", fenced("sql", "\n\n".join(f"-- {query.question}\n{query.sql}" for query in queries))
    )
