"""drivepipe plan: print the tasks, tables, columns and models of a scenario, or what a run is to cost."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.documents.estimate import (
    OR_MEASURE,
    Estimate,
    Figure,
    Figures,
    NotEnoughKnown,
    Source,
    estimate,
)
from airflow_provider_drivepipe.documents.estimate_text import estimate_text
from airflow_provider_drivepipe.documents.plan_text import plan_heading, plan_text
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario, scenario_files
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.partition import parse_partition_key
from airflow_provider_drivepipe.scenario.plan import Plan

_FIGURES = {
    "rows": "rows of the input partition: videos, clips or images",
    "hours": "hours of video in it",
    "frames": "frames or images that go to the models",
    "input-tokens": "tokens that the labelling model reads per row",
    "output-tokens": "tokens that it writes per row",
    "embedding-tokens": "tokens that are embedded per row",
}
_LARGEST = 1e15


def main(arguments: Sequence[str]) -> int:
    """Print a plan; return 1 when the scenario or the partition is not valid."""
    parser = argparse.ArgumentParser(prog="drivepipe plan", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="scenario file")
    parser.add_argument("--partition", metavar="VALUE", help="partition value, for example 20261120")
    parser.add_argument(
        "--estimate", action="store_true", help="rows, calls, tokens and cost that a run is expected to take"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="count the input of --partition and look at what is published, through the Airflow connection",
    )
    figures = parser.add_argument_group("figures of an estimate, instead of measured or assumed ones")
    for name, meaning in _FIGURES.items():
        names = (f"--{name}", "--videos") if name == "rows" else (f"--{name}",)
        figures.add_argument(*names, dest=name.replace("-", "_"), type=_figure, metavar="N", help=meaning)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    options = parser.parse_args(arguments)
    if options.file.is_dir():
        files = ", ".join(file.name for file in scenario_files(options.file)) or "none"
        parser.error(f"{options.file} is a folder: name one of its scenario files ({files})")
    if options.measure and not options.partition:
        parser.error("--measure needs --partition: which one is to be counted?")
    given = _given(options)
    asks = options.estimate or options.measure or given != Figures()
    try:
        steps = plan(load_scenario(options.file))
        if options.partition:
            parse_partition_key(options.partition, steps.partition.key_format)
    except (ScenarioError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        found = _estimate(steps, options, given) if asks else None
    except (CommandError, DrivepipeError, NotEnoughKnown) as error:
        print(f"drivepipe plan: {error}", file=sys.stderr)
        return 1
    if options.json:
        values = {**steps.to_json(), "partition_value": options.partition}
        print(json.dumps({**values, "estimate": found.to_json()} if found else values, indent=2))
    elif found is not None:
        print(f"{plan_heading(steps, options.partition)}\n{estimate_text(steps, found)}")
    else:
        print(plan_text(steps, options.partition))
    return 0


def _figure(text: str) -> Figure:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LARGEST:
        raise argparse.ArgumentTypeError(f"a number from 0 up, got {text!r}")
    return Figure(value, Source.GIVEN)


def _given(options: argparse.Namespace) -> Figures:
    return Figures(
        units=options.rows,
        hours=options.hours,
        rows=options.frames,
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens,
        embedding_tokens=options.embedding_tokens,
    )


def _estimate(steps: Plan, options: argparse.Namespace, given: Figures) -> Estimate:
    if options.measure:
        from airflow_provider_drivepipe.cli.plan_facts import measured

        given = given.over(measured(steps, options.partition))
        return _estimate_measured(steps, options, given)
    return estimate(steps, given)


def _estimate_measured(steps: Plan, options: argparse.Namespace, given: Figures) -> Estimate:
    from airflow_provider_drivepipe.cli.plan_facts import not_measured

    try:
        return estimate(steps, given)
    except NotEnoughKnown as error:
        question = str(error).removesuffix(OR_MEASURE)
        raise CommandError(
            f"{question}. --measure does not tell: {not_measured(steps, options.partition, given)}"
        ) from error
