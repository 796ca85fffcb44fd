"""The ``drivepipe`` command. Each command is a function from arguments to exit code.

A module is imported only when its command is used, so that ``drivepipe --help`` is quick.
Exit codes: 0 well, 1 a problem, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence

from airflow_provider_drivepipe import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("init:main", "ask what a scenario is to do and write its file"),
    "validate": ("validate:main", "check scenario files and report every mistake with its line"),
    "plan": ("plan:main", "print the tasks, tables, columns and models of a scenario"),
    "walkthrough": ("walkthrough:main", "write what people need to know of a scenario"),
    "schema": ("schema:main", "write the tables of a scenario as SQL"),
    "script": ("script:main", "write the tasks of a scenario as plain scripts, for DataWorks and notebooks"),
    "examples": ("examples:main", "copy the example scenarios and DAGs"),
    "local": ("local:main", "the local cloud: up, status, env, upload, stats, faults, down"),
    "doctor": ("doctor:main", "try everything that a scenario will need of a connection"),
    "query": ("query:main", "run one SQL statement and print what it gives"),
    "report": (
        "report:main",
        "write the report of a partition: counts, labels that moved, failures, pictures",
    ),
    "frames": (
        "frames:main",
        "write a contact sheet: the frames of a partition with their labels, and what failed",
    ),
    "items": (
        "items:main",
        "write a page to read some items of a training set, with the frames at their times",
    ),
    "evidence": (
        "evidence:main",
        "write a page to compare arms of video QA: questions, frames and answers of each arm",
    ),
    "search": ("search:main", "find the frames of a partition that are most like a text or a picture"),
    "qa": ("qa:main", "video QA: load questions, frames and embeddings; write results"),
    "prompts": ("prompts:main", "prompts of video reasoning: list, new, check, show"),
    "sessions": ("sessions:main", "the live MaxFrame sessions of DAGs: list, find orphans, stop"),
    "demo": ("demo:main", "run the demo pipeline in Airflow against the local cloud"),
    "demo-reasoning": ("demo_reasoning:main", "run the reasoning demo, from videos to training files"),
    "demo-qa": ("demo_qa:main", "run the video QA demo: questions, frames chosen in eight ways, accuracies"),
    "up": ("up:main", "start the local cloud and Airflow with its UI"),
    "down": ("up:down", "stop what 'up' started"),
}
"""Command: module in this package and function, one line of help."""

NEED_LOCAL_CLOUD = frozenset({"local", "demo", "demo-reasoning", "demo-qa", "up", "down"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        print(f"drivepipe {__version__}")
        return 0
    command, *rest = given
    if command not in COMMANDS:
        print(f"drivepipe: no command {command!r}\n\n{usage()}", file=sys.stderr)
        return 2
    if command in NEED_LOCAL_CLOUD and not _has_local_cloud():
        print(
            f"drivepipe {command}: this needs the local cloud, which is not installed:\n"
            "    pip install 'airflow-provider-drivepipe[local]'",
            file=sys.stderr,
        )
        return 1
    module, _, function = COMMANDS[command][0].partition(":")
    run = getattr(importlib.import_module(f"airflow_provider_drivepipe.cli.{module}"), function)
    try:
        code: int = run(rest)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, say) has seen enough.
        sys.stderr.close()
        return 0
    return code


def _has_local_cloud() -> bool:
    """Return whether the package is there; a checkout has a mere folder of that name, without an origin."""
    found = importlib.util.find_spec("maxcompute_local")
    return found is not None and found.origin is not None


def usage() -> str:
    """Return the text of ``drivepipe --help``."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: drivepipe <command> [options]",
            "",
            "Driving-video pipelines in Airflow on OSS, MaxCompute and MaxFrame.",
            "",
            *lines,
            "",
            "'drivepipe <command> --help' says more of a command.",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
