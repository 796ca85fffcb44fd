"""drivepipe evidence: write a page that compares the arms of video QA, question by question."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.page import (
    no_partition,
    open_partition,
    page_parser,
    write_page,
)
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario
from airflow_provider_drivepipe.scenario.model import Scenario


def main(arguments: Sequence[str]) -> int:
    """Write the page; return 1 when there is nothing to show or the file cannot be written."""
    parser = page_parser("evidence", __doc__, "_evidence", "questions, spread over the categories")
    parser.epilog = "Questions whose arms disagree come first; the same ones are shown each time."
    return write_page(parser, arguments, _page)


def of_retrieval(scenario: Scenario) -> RetrievalScenario:
    """Return the scenario; raise CommandError for one of another family."""
    if not isinstance(scenario, RetrievalScenario):
        raise CommandError(
            f"scenario {scenario.scenario_name} answers no questions: it is not of pipeline retrieval"
        )
    return scenario


def _page(scenario: Scenario, options: argparse.Namespace) -> str:
    from airflow_provider_drivepipe.reports.evidence import read_evidence, render

    steps = plan(of_retrieval(scenario))
    hook, partition = open_partition(steps, options.partition, "evidence")
    page = read_evidence(steps, partition, hook.execute_sql, hook.read_object, options.n)
    if not page.questions:
        raise no_partition(steps, steps.tasks[0].output_table.name, partition)
    return render(page)
