"""Reference pages out of the code: commands, errors and reasons, tables, XCom."""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from signatures import ROOT, fields, link_to, markdown

from airflow_provider_drivepipe import contracts, exceptions
from airflow_provider_drivepipe.cli.main import COMMANDS
from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, Reason, StageReport
from airflow_provider_drivepipe.documents.schema_sql import table_columns
from airflow_provider_drivepipe.hooks.partition_lock import LOCK_POLL
from airflow_provider_drivepipe.lifecycle import failures
from airflow_provider_drivepipe.links.logview import LogViewLink
from airflow_provider_drivepipe.operators import retry
from airflow_provider_drivepipe.pipelines.loading import load_scenario, scenario_files
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.plan import TaskPlan

XCOMS = {
    "return_value": "report of the task, see below; of the sensor, `table` and `partition`",
    "failure_counts": "failed units by stage; of clips, also the keyframes that failed alone",
    "verdict": "`completed`, `completed_with_failures` or `empty_input`",
    "failures_sample": "where something failed: counts by reason, the first inputs, and SQL for all of them",
    "logview": "LogView address of the task's job, once it is known; valid for 72 hours",
}
_NAMED_KEYS = {"XCOM_KEY": failures.XCOM_KEY, "LogViewLink().xcom_key": LogViewLink().xcom_key}


def pages() -> dict[str, str]:
    """Return the reference pages by their place in the site."""
    return {
        "reference/cli.md": _cli(),
        "reference/errors.md": _errors(),
        "reference/tables.md": _tables(),
        "reference/xcom.md": _xcom(),
    }


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]
    return "\n".join(lines)


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


# Commands.


class _Parsed(BaseException):
    """Thrown where a command has made its parser; no handler of errors takes it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(command: str) -> argparse.ArgumentParser:
    """Return the parser that a command makes."""

    def stop(parser: argparse.ArgumentParser, *_: Any) -> None:
        raise _Parsed(parser)

    module, _, name = COMMANDS[command][0].partition(":")
    run: Callable[[list[str]], int] = getattr(
        importlib.import_module(f"airflow_provider_drivepipe.cli.{module}"), name
    )
    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            run([])
        except _Parsed as parsed:
            return parsed.parser
    raise AssertionError(f"drivepipe {command} makes no parser")


def _cli() -> str:
    parts = ["`drivepipe COMMAND --help` prints the same. Exit codes: 0 well, 1 a problem, 2 wrong usage."]
    parts.append(
        _table(
            ["command", ""],
            [(f"[`drivepipe {c}`](#drivepipe-{c})", text) for c, (_, text) in COMMANDS.items()],
        )
    )
    for command in COMMANDS:
        parts += _command(f"drivepipe {command}", parser_of(command), 2)
    return _page("Commands", *parts)


def _command(name: str, parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}"
    formatter = argparse.HelpFormatter(name, width=84)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    yield f"```text\n{formatter.format_help().strip()}\n```"
    if parser.description:
        yield _text(parser.description)
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    rows = [_option(each) for each in parser._actions if each not in below and each.dest != "help"]
    if rows:
        yield _table(["argument", "meaning"], rows)
    for each in below:
        for word, inner in each.choices.items():
            yield from _command(f"{name} {word}", inner, level + 1)


def _option(action: argparse.Action) -> tuple[str, str]:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        metavar = "|".join(map(str, action.choices))
    if not action.option_strings:
        return f"`{metavar}`", _help(action)
    shown = ", ".join(f"`{each}`" for each in action.option_strings)
    return shown + (f" `{metavar}`" if action.nargs != 0 else ""), _help(action)


def _help(action: argparse.Action) -> str:
    return _text((action.help or "") % {**vars(action), "prog": "drivepipe"})


def _text(text: str) -> str:
    """Return words of a command as Markdown: what stands in angle brackets is no HTML."""
    return markdown(text).replace("<", "&lt;").replace("*", "\\*").replace("|", "\\|")


# Errors and reasons.


def _errors() -> str:
    kinds = [
        kind
        for kind in vars(exceptions).values()
        if inspect.isclass(kind) and issubclass(kind, exceptions.DrivepipeError)
    ]
    rows = [(f"`{k.__name__}`", f"`{k.__base__.__name__}`", _sentence(k.__doc__), _retries(k)) for k in kinds]
    stages = _stages_by_reason()
    reasons = [(f"`{reason}`", ", ".join(f"`{name}`" for name in stages[reason])) for reason in Reason]
    return _page(
        "Errors and reasons",
        "Tasks fail with an error, rows with a reason. What to do: [failures](../failures.md); messages word "
        "by word: [troubleshooting](../troubleshooting.md).",
        "## Errors of tasks",
        "All are in `airflow_provider_drivepipe.exceptions`. *Next try* is what the operators' own retry "
        "policy says; where it says nothing, `retries` and `retry_delay` of the task hold.",
        _table(["error", "is a", "meaning", "next try"], rows),
        "## Reasons of rows",
        "In `error_type`, with the stages of the example scenarios that give them. A reason without a stage "
        "comes of the selection (`limit`, `budget`), of frame filters, or of the arm `oracle`.",
        _table(["reason", "stages"], reasons),
    )


def _sentence(doc: str | None) -> str:
    return markdown(inspect.cleandoc(doc or ""))


def _retries(kind: type) -> str:
    if kind is exceptions.PartitionBusyError:
        return f"every {LOCK_POLL.seconds} s, without using up a retry"
    if kind in retry._USELESS:
        return f"none: {retry._USELESS[kind]}"
    for base in kind.__mro__:
        if base in retry._WORTH_IT:
            delay, why = retry._WORTH_IT[base]
            return f"after {int(delay.total_seconds() // 60)} min: {why}"
    return ""


def _example_plans() -> Iterator[tuple[Path, tuple[TaskPlan, ...]]]:
    for file in scenario_files(ROOT / "dags" / "scenarios"):
        yield file, plan(load_scenario(file)).tasks


def _stages_by_reason() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for _, tasks in _example_plans():
        for stage in (stage for task in tasks for stage in task.stages):
            for reason in stage.guide().reasons:
                if stage.name not in found[reason]:
                    found[reason].append(stage.name)
    return found


# Tables.


def _columns(columns: Sequence[Column]) -> str:
    return _table(["column", "type", "meaning"], [(f"`{c.name}`", c.type, _text(c.comment)) for c in columns])


def _tables() -> str:
    parts = [
        "The tables that the example scenarios write, without partition columns and without status columns.",
        "Columns of the input travel through. `drivepipe schema FILE` writes the tables of your scenario.",
        "## Status columns",
        _columns(STATUS_COLUMNS),
    ]
    status = set(STATUS_COLUMNS)
    for file, tasks in _example_plans():
        parts += [f"## {file.stem}", f"Of [`{file.name}`]({link_to(f'dags/scenarios/{file.name}')})."]
        known: dict[str, Sequence[Column] | None] = {}
        for task in tasks:
            columns = table_columns(task, known.get(task.source))
            known[task.output_table.name] = columns
            shown = [c for c in columns or task.output_table.columns if c not in status]
            parts += [f"### {task.output_table.name}", f"Task `{task.task_id}`."]
            parts += [_columns(shown)] if shown else []
    return _page("Tables", *parts)


# XCom.


def _xcom() -> str:
    said = {key for file in (ROOT / "airflow_provider_drivepipe").rglob("*.py") for key in _pushed(file)}
    lacking = said ^ set(XCOMS)
    assert not lacking, f"XComs that are pushed and not described, or the other way round: {lacking}"
    report = [(f"`{p.name}`", f"`{p.type}`", p.text) for p in fields(StageReport)]
    tokens = [(f"`{p.name}`", f"`{p.type}`", p.text) for p in fields(contracts.Spending)]
    return _page(
        "XCom",
        "What tasks push. `return_value` is there also when a gate fails the task afterwards.",
        _table(["key", "value"], [(f"`{key}`", text) for key, text in XCOMS.items()]),
        "## The report",
        markdown(inspect.cleandoc(StageReport.__doc__ or "")),
        _table(["field", "type", "meaning"], report),
        "## `spending`",
        markdown(inspect.cleandoc(contracts.Spending.__doc__ or "").partition(":param")[0]),
        _table(["field", "type", "meaning"], tokens),
    )


def _pushed(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "xcom_push":
            for keyword in node.keywords:
                if keyword.arg == "key":
                    key = ast.unparse(keyword.value)
                    yield _NAMED_KEYS[key] if key in _NAMED_KEYS else ast.literal_eval(key)
