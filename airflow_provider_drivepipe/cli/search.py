"""drivepipe search: find the frames of a partition that are most like a text or a picture."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.child import signals_as_interrupts
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.frame_search import Found, FrameSearch
    from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook

_CAPTION = 60
"""Characters of a label that a terminal shows."""


def main(arguments: Sequence[str]) -> int:
    """Search; return 1 when the search does not fit or a file cannot be read or written."""
    parser = argparse.ArgumentParser(
        prog="drivepipe search",
        description=__doc__,
        epilog="Pays for one embedding. A terminal gets a table, a pipe gets whole values between tabs.",
    )
    parser.add_argument("file", type=Path, metavar="SCENARIO", help="scenario file with the target embedding")
    parser.add_argument("text", nargs="?", default="", metavar="TEXT", help="what is looked for, in quotes")
    parser.add_argument("--image", type=Path, metavar="FILE", help="look for what is like this picture")
    parser.add_argument(
        "--partition",
        metavar="VALUE",
        help="for example 20261120 or ds=20261120 (default: the newest that is published)",
    )
    parser.add_argument(
        "--where",
        default="",
        metavar="CONDITION",
        help="only frames for which it holds, on columns and properties of labels: \"weather = 'rainy'\"",
    )
    parser.add_argument("--top", type=int, default=20, metavar="N", help="frames to find (default: 20)")
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        metavar="FILE",
        help="page (default: <scenario>_<partition>_search.html)",
    )
    options = parser.parse_args(arguments)
    if bool(options.text.strip()) == (options.image is not None):
        parser.error("give either a TEXT or an --image to look for")
    try:
        with signals_as_interrupts():
            _run(plan(load_scenario(options.file)), options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, DrivepipeError) as error:
        print(f"drivepipe search: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"drivepipe search: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _run(steps: Plan, options: argparse.Namespace) -> None:
    task, embed = _embedded(steps)
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what is printed here is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook
        from airflow_provider_drivepipe.hooks.frame_search import FrameSearch, Query
        from airflow_provider_drivepipe.reports.contact_sheet import render, sheet_of_hits

    query = Query.of_picture(options.image.read_bytes()) if options.image else Query(options.text)
    hook = CommandHook(steps.conn_id, run_identity="drivepipe search")
    labels = [stage for each in steps.tasks if (stage := each.find(Generate, "label"))]
    search = FrameSearch(
        task.output_table.name,
        _partition(hook, steps, task.output_table.name, options.partition),
        query,
        embed.model,
        embed.dimension,
        options.where,
        labels[0].schema if labels else None,
        options.top,
    )
    found = _search(hook, search)
    _print(found)
    says = f"{len(found.hits)} of {sum(found.counts.values())} frames{found.left_out()}"
    print(says, file=sys.stderr)
    title = f"{options.text or options.image.name} in {steps.scenario} {search.partition.path()}"
    where = f" where {search.where}" if search.where else ""
    output: Path = options.output or Path(f"{steps.scenario}_{search.partition.values[0]}_search.html")
    page = render(sheet_of_hits(title, f"Table {search.table}{where}: {says}.", found.hits, hook.read_object))
    output.write_text(page, "utf-8")
    print(f"wrote {output}", file=sys.stderr)


def _embedded(steps: Plan) -> tuple[TaskPlan, Embed]:
    """Return the task that publishes vectors of images, and the stage that makes them."""
    for task in steps.tasks:
        embed = task.find(Embed, "image_embedding")
        if embed is not None:
            return task, embed
    raise CommandError(
        f"scenario {steps.scenario} makes no vectors of images: it needs the target embedding, and a run"
    )


def _partition(hook: MaxFrameHook, steps: Plan, name: str, given: str | None) -> PartitionSpec:
    from airflow_provider_drivepipe.cli.plan_facts import newest_partition

    if given is None:
        newest = newest_partition(hook, steps, name)
        if newest is None:
            raise CommandError(f"table {name} has no partition: run DAG {steps.dag_id} first")
        return newest
    try:
        if "=" in given:
            return PartitionSpec.parse(given)
        return PartitionSpec(steps.partition.columns, (given, *steps.partition.fixed_values))
    except ValueError as error:
        raise CommandError(str(error)) from error


def _search(hook: MaxFrameHook, search: FrameSearch) -> Found:
    from airflow_provider_drivepipe.hooks import frame_search
    from airflow_provider_drivepipe.hooks.sessions import SessionTags
    from airflow_provider_drivepipe.sql import drop_table

    checked = frame_search.check(hook, search)
    if not checked.rows:
        raise CommandError(f"table {search.table} has no partition {search.partition.path()}")
    number = uuid.uuid4().hex[:16]
    who = f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"
    working = f"drivepipe_search_{number}"
    try:
        return frame_search.run(hook, checked, working, SessionTags("drivepipe search", who, "search", -1, 1))
    finally:
        hook.execute_sql(drop_table(working))


def _print(found: Found) -> None:
    rows = [
        [
            str(hit["rank"]),
            f"{hit['score']:.4f}",
            str(hit.get("video_path") or hit.get("clip_id") or hit["image_url"]),
            _seconds(hit.get("frame_time_ms")),
            _caption(hit.get("label_text")),
        ]
        for hit in found.hits
    ]
    header = ["rank", "score", "video", "time", "label"]
    if not sys.stdout.isatty():
        print("\n".join("\t".join(row) for row in [header, *rows]))
        return
    short = [[*row[:2], "/".join(row[2].split("/")[-2:]), row[3], row[4][:_CAPTION]] for row in rows]
    print(table(header, short))


def _seconds(time_ms: int | None) -> str:
    return "" if time_ms is None else f"{time_ms / 1000:g} s"


def _caption(label: str | None) -> str:
    """Return what a label says in words: its caption, or all of it."""
    try:
        value: Any = json.loads(label or "")
    except ValueError:
        value = label
    if isinstance(value, Mapping):
        value = value.get("caption") or label
    return " ".join(str(value or "").split())
