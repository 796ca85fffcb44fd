"""drivepipe walkthrough: write <scenario>_walkthrough.md, all that people need to know of a scenario."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_provider_drivepipe.cli.documents import add_document_options, put_document
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan

_MARK = "<!-- Written by drivepipe walkthrough, which writes it anew: changes here are lost. -->"


def main(arguments: Sequence[str]) -> int:
    """Write or print a walkthrough; return 1 when the scenario is not valid or the file cannot be written."""
    parser = argparse.ArgumentParser(prog="drivepipe walkthrough", description=__doc__)
    add_document_options(parser)
    options = parser.parse_args(arguments)
    try:
        scenario = load_scenario(options.file)
        text = walkthrough(scenario, plan(scenario))
        put_document(options, f"{scenario.scenario_name}_walkthrough.md", _MARK, text)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"drivepipe walkthrough: {error}", file=sys.stderr)
        return 1
    return 0
