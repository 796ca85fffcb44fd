"""drivepipe doctor: try everything that a scenario will need of a connection, and say what to grant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.cli.child import signals_as_interrupts
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.driving.models import IMAGE_EMBEDDING, LABEL
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.checks import Outcome, Site

_CONN_ID = "drivepipe_default"
_MODELS: Mapping[str, str] = {LABEL: "qwen3-vl-plus", IMAGE_EMBEDDING: "qwen3-vl-embedding"}
"""What is called where no scenario says."""


def main(arguments: Sequence[str]) -> int:
    """Run all checks and remove what they made; return 1 when one failed."""
    parser = argparse.ArgumentParser(
        prog="drivepipe doctor",
        description="Try everything that a scenario will need, smallest first: SQL, a scratch table, the "
        "tunnel, OSS, a MaxFrame session, a function in a DPE worker, the mount with the role, the packages "
        "of the frame engine, and one call of each model about a tiny picture. It removes what it made.",
    )
    parser.add_argument("--conn-id", metavar="ID", help=f"Airflow connection (default: {_CONN_ID})")
    parser.add_argument(
        "--scenario", type=Path, metavar="FILE", help="take connection, bucket and models from this file"
    )
    parser.add_argument("--bucket", metavar="NAME", help="bucket to work in")
    options = parser.parse_args(arguments)
    try:
        with signals_as_interrupts():
            return _examine(_site(options))
    except ScenarioError as error:
        print(error, file=sys.stderr)
    except (CommandError, ConfigurationError) as error:
        print(f"drivepipe doctor: {error}", file=sys.stderr)
    return 1


def _site(options: argparse.Namespace) -> Site:
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what this command prints is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook
    from airflow_provider_drivepipe.hooks.checks import Site

    conn_id, bucket, models = _CONN_ID, None, _MODELS
    if options.scenario:
        steps = plan(load_scenario(options.scenario))
        conn_id, bucket, models = steps.conn_id, steps.bucket, steps.models
    hook = CommandHook(options.conn_id or conn_id, run_identity="drivepipe doctor")
    hook.settings  # noqa: B018 - a connection that cannot be read ends the command
    return Site(hook, options.bucket or bucket, models)


def _examine(site: Site) -> int:
    from airflow_provider_drivepipe.hooks.checks import CHECKS, State, run_checks

    print(f"connection {site.hook.conn_id}; what is made for the checks is called {site.key}", flush=True)
    outcomes = []
    try:
        for outcome in run_checks(site, CHECKS):
            outcomes.append(outcome)
            _print(outcome)
    finally:
        left = site.clean_up()
        for what in left:
            print(f"NOT REMOVED: {what}", file=sys.stderr)
    failed = [o for o in outcomes if o.state is State.FAILED]
    unknown = sum(o.state is State.NOT_CHECKED for o in outcomes)
    print(
        f"{len(outcomes) - len(failed) - unknown} ok, {len(failed)} failed, {unknown} not checked, "
        f"{sum(o.seconds for o in outcomes):.0f} s, {sum(o.tokens for o in outcomes)} tokens"
    )
    return 1 if failed or left else 0


def _print(outcome: Outcome) -> None:
    from airflow_provider_drivepipe.hooks.checks import State

    tokens = f"{outcome.tokens} tokens" if outcome.tokens else ""
    print(f"{outcome.check.name:<13} {outcome.state:<12} {outcome.seconds:6.1f} s  {tokens}")
    print(f"    {outcome.said}")
    if outcome.state is State.FAILED:
        print(f"    to mend it: {outcome.check.mend}")
    sys.stdout.flush()
