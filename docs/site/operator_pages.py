"""A page for each operator and sensor: what it does, an example DAG of ``dags/``, its parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache

from signatures import ROOT, description, link_to, operator_groups, parameter_table

from airflow_provider_drivepipe import operators
from airflow_provider_drivepipe.pipelines.loading import load_scenario, scenario_files
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor

FOLDER = "operators"
OPERATORS: Mapping[str, type] = {
    **{name: getattr(operators, name) for name in operators.__all__},
    "OdpsPartitionSensor": OdpsPartitionSensor,
}


def address(name: str) -> str:
    """Return where the page of an operator is in the site."""
    return f"{FOLDER}/{name}.md"


def pages() -> dict[str, str]:
    """Return the pages of all operators, and the one that lists them, by their place in the site."""
    return {f"{FOLDER}/index.md": _index(), **{address(name): _page(name) for name in OPERATORS}}


def undocumented() -> list[str]:
    """Return the parameters without a text, as ``owner.name``."""
    groups = [group for operator in OPERATORS.values() for group in operator_groups(operator)]
    return sorted({f"{g.owner}.{each.name}" for g in groups for each in g.parameters if not each.text})


def _index() -> str:
    rows = [f"| [`{name}`]({name}.md) | {_summary(operator)} |" for name, operator in OPERATORS.items()]
    return "\n".join(
        [
            "# Operators",
            "",
            "Each page is made of the code: docstrings, signatures and the example DAGs of `dags/`. What all",
            "of them have in common, templates, partitions and params: [a DAG by hand](../by-hand.md).",
            "",
            "| operator | |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _summary(operator: type) -> str:
    return description(operator).splitlines()[0].rstrip(".")


def _page(name: str) -> str:
    operator = OPERATORS[name]
    module = "sensors.odps_partition" if name.endswith("Sensor") else "operators"
    templates = ", ".join(f"`{field}`" for field in operator.template_fields)
    groups = operator_groups(operator)
    parts = [
        f"# {name}",
        description(operator),
        _fence("python", f"from airflow_provider_drivepipe.{module} import {name}"),
        "## Example DAG",
        *_examples(name),
        "## Parameters",
        "All by name; with them those of every operator of Airflow, such as `task_id` and `retries`.",
        *(
            part
            for group in groups
            for part in (f"### Of `{group.owner}`", parameter_table(group.parameters))
        ),
        f"Templates of Airflow: {templates}.",
    ]
    return "\n\n".join(parts) + "\n"


def _examples(name: str) -> list[str]:
    files = [file for file in sorted((ROOT / "dags").glob("*.py")) if f"{name}(" in file.read_text("utf-8")]
    parts = []
    for file in files:
        path = f"dags/{file.name}"
        parts += [f"[`{path}`]({link_to(path)}):", _fence("python", file.read_text("utf-8").rstrip())]
    made = _scenarios().get(name, {})
    if made:
        tasks = [
            f"- [`{file}`]({link_to(f'dags/scenarios/{file}')}): {', '.join(f'`{task}`' for task in tasks)}"
            for file, tasks in made.items()
        ]
        parts += ["Scenarios whose DAG has a task of it, with the ids of these tasks:", "\n".join(tasks)]
    if not files:
        first = next(iter(made))
        text = (ROOT / "dags" / "scenarios" / first).read_text("utf-8").rstrip()
        parts += [f"The DAG of `{first}` comes of this file:", _fence("yaml", text)]
    return parts


@cache
def _scenarios() -> Mapping[str, Mapping[str, list[str]]]:
    """Return, by operator, the example scenarios that make tasks of it, with the ids of these tasks."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in scenario_files(ROOT / "dags" / "scenarios"):
        for task in plan(load_scenario(file)).tasks:
            found[task.operator][file.name].append(task.task_id)
    return found


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
