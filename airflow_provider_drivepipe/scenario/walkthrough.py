"""The walkthrough of a scenario as Markdown: the file that the CLI writes and the DAG's documentation.

Everything in it comes from the scenario and its plan, or holds for every scenario: no name of a model, an
endpoint, a bucket or a project is written here.
"""

from __future__ import annotations

from airflow_provider_drivepipe.contracts import Stage
from airflow_provider_drivepipe.scenario.markdown import (
    NOTHING,
    bullet,
    code,
    fenced,
    paragraph,
    section,
    table,
)
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan, StagePlan
from airflow_provider_drivepipe.scenario.queries import example_queries
from airflow_provider_drivepipe.scenario.stage_guide import INPUT_SHAPES, STAGES, TARGETS
from airflow_provider_drivepipe.scenario.walkthrough_money import money
from airflow_provider_drivepipe.scenario.walkthrough_runs import (
    commands_by_hand,
    failures,
    params_of_a_run,
    partitions_and_runs,
)
from airflow_provider_drivepipe.scenario.walkthrough_tables import (
    connection_and_settings,
    input_expected,
    left_out,
    output_tables,
)


def walkthrough(scenario: Scenario, plan: Plan) -> str:
    """Return the whole text; ``plan`` is the scenario's."""
    sections = (
        _what_it_does(scenario, plan),
        _one_job_or_two(scenario, plan),
        connection_and_settings(scenario, plan),
        input_expected(plan),
        output_tables(plan),
        left_out(plan),
        partitions_and_runs(scenario, plan),
        commands_by_hand(plan),
        params_of_a_run(plan),
        failures(scenario, plan),
        _models(plan),
        money(plan),
        _queries(plan),
    )
    return "\n\n".join(part for part in sections if part) + "\n"


def _what_it_does(scenario: Scenario, plan: Plan) -> str:
    kinds = " → ".join(str(task.kind).replace("_", "-") for task in plan.tasks)
    rows = [
        [
            str(number),
            code(task.task_id),
            "; ".join(f"{code(stage)}: {STAGES[stage].does}" for stage in task.stages),
            code(task.source),
            code(task.output_table.name),
        ]
        for number, task in enumerate(plan.tasks, start=1)
    ]
    return section(
        f"# {scenario.scenario_name}",
        scenario.description.strip(),
        paragraph(
            f"Pipeline **{kinds}**, DAG {code(plan.dag_id)}.",
            f"It starts from {INPUT_SHAPES[scenario.input_shape]}",
            f"({code(f'input_shape: {scenario.input_shape}')}), and its `targets` ask for:",
        ),
        "\n".join(bullet(f"{code(target)}: {TARGETS[target]}") for target in scenario.targets),
        "Tasks, in the order in which they run:",
        table(["", "task", "stages", "reads", "writes"], rows),
        paragraph("Each task works on one partition and reads what the one before it published."),
    )


_IN_BETWEEN = {
    Stage.FRAME_EXTRACTION: ("cuts the frames", "frames"),
    Stage.KEYFRAME_EXPANSION: ("lists the keyframes", "keyframes"),
    Stage.IMAGE_PREPARATION: ("prepares the images", "prepared images"),
}
"""What a first stage does, and what it makes for the models."""


def _one_job_or_two(scenario: Scenario, plan: Plan) -> str:
    """The choice between single job and split-video, and how to make the other one."""
    heading = "## One job or two"
    first = next((task for task in reversed(plan.tasks) if task.stages[0] in _IN_BETWEEN), None)
    models = next((task for task in plan.tasks if task.models), None)
    if first is None or models is None:
        lacking = "makes no images" if models else "calls no model"
        return section(heading, paragraph(f"There is nothing to split: this pipeline {lacking}."))
    does, made = _IN_BETWEEN[first.stages[0]]
    final = code(models.output_table.name)
    price = paragraph(
        "Changing from one to the other makes all rows of a partition again when it runs next, models",
        "included. Name another `output_table` to keep what is paid for.",
    )
    if first is models:
        between = scenario.prepared_table if first.images else scenario.frames_table
        splitting = "Set `split_video: true`"
        if first.images and first.images.inline:
            splitting = "Set `prepared_images: write_back` and `split_video: true`"
        return section(
            heading,
            paragraph(
                f"**Single job**, the default: one MaxFrame job {does}, sends them to the models at",
                f"once and writes one table, {final}. No table of {made} stands in between. A retry still",
                "pays only for what is missing.",
            ),
            paragraph(
                f"{splitting} when the {made} are wanted as a table of their own: for others, for",
                "an audit, or to retry and clear labels apart from them. Then one task writes",
                f"{code(between)} (another name for the first table: {code('output_tables: {frames: …}')}),",
                f"and a second one reads it and writes {final}.",
            ),
            price,
        )
    asked = next(
        key for key in ("output_tables", "split_video", "need_intermediate_table") if getattr(scenario, key)
    )
    return section(
        heading,
        paragraph(
            f"**Split-video**, because the scenario has {code(asked)}: task {code(first.task_id)} publishes",
            f"the table of {made} {code(first.output_table.name)}, task {code(models.task_id)} reads that",
            f"partition and writes {final}. Each is retried and cleared on its own.",
        ),
        paragraph(
            f"What is handed over: {code(models.image_column)} goes to the models, and all columns of the",
            f"{made} travel through. Rows that are not `ok` pass by with their reason and cost nothing.",
        ),
        paragraph(
            f"Remove {code(asked)} for a **single job**: one table, and no table of {made} in between.",
        ),
        price,
    )


def _models(plan: Plan) -> str:
    rows = [
        [code(stage), code(model), _model_settings(task, stage)]
        for task in plan.tasks
        for stage, model in task.models.items()
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


def _model_settings(task: StagePlan, stage: str) -> str:
    if stage == Stage.LABEL and task.labels:
        schema = _schema_name(task.labels.label_schema)
        prompt, tokens = code(task.labels.prompt_name), task.labels.max_tokens
        return f"prompt {prompt}, schema {schema}, answers of at most {tokens} tokens"
    if stage == Stage.IMAGE_EMBEDDING and task.embedding:
        dimension = task.embedding.dimension
        return f"{dimension} dimensions" if dimension else "as many dimensions as the model gives"
    if stage == Stage.LABEL_EMBEDDING and task.label_embedding:
        dimension = task.label_embedding.dimension
        return f"{dimension} dimensions" if dimension else "as many dimensions as the model gives"
    return NOTHING


def _schema_name(label_schema: str | None) -> str:
    """Return what a label schema is called; one from a file is here as its JSON."""
    if label_schema is None:
        return "none, free text"
    return "of a file of its own" if label_schema.lstrip().startswith("{") else code(label_schema)


def _queries(plan: Plan) -> str:
    queries = [query for task in plan.tasks for query in example_queries(task, plan.partition)]
    return section(
        "## Queries", fenced("sql", "\n\n".join(f"-- {query.question}\n{query.sql}" for query in queries))
    )
