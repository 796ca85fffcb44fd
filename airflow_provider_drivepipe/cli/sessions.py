"""``drivepipe sessions``: the live MaxFrame sessions that this package opened, and how to stop them."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.task_states import Verdict, judge
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.hooks.sessions import Session

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.maxframe import JobStatus, MaxFrameHook

_DURATION = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True)
class Listed:
    """A session with what was asked about it; ``jobs`` is None when the session did not answer."""

    session: Session
    jobs: Mapping[str, JobStatus] | None
    verdict: Verdict | None = None


def main(arguments: Sequence[str]) -> int:
    """List sessions, and stop them when asked to; return 1 when something could not be done."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.stop:
        narrowed = (options.dag, options.run, options.task, options.older_than, options.orphans, options.ids)
        if not any(narrowed) and not options.all:
            parser.error("--stop needs a choice of sessions, or --all")
        if not options.yes and (options.json or not sys.stdin.isatty()):
            parser.error("--stop asks on a terminal; without one, or with --json, it needs --yes")
    try:
        return _run(options)
    except (CommandError, DrivepipeError) as error:
        print(f"drivepipe sessions: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="drivepipe sessions",
        description="The live MaxFrame sessions that DAGs of this package opened under the connection's "
        "access key. Sessions of others are neither shown nor touched.",
    )
    parser.add_argument("ids", nargs="*", metavar="SESSION", help="only these sessions")
    parser.add_argument("--conn-id", default="drivepipe_default", metavar="ID", help="Airflow connection")
    parser.add_argument("--dag", metavar="ID", help="only sessions of this DAG")
    parser.add_argument("--run", metavar="ID", help="only sessions of this run")
    parser.add_argument("--task", metavar="ID", help="only sessions of this task")
    parser.add_argument(
        "--older-than", type=duration, metavar="AGE", help="only sessions older than 90s, 30m, 2h, 1d"
    )
    parser.add_argument(
        "--orphans",
        action="store_true",
        help="only sessions whose task has ended or is gone, as Airflow's database says",
    )
    parser.add_argument("--all", action="store_true", help="let --stop stop all that are listed")
    parser.add_argument("--stop", action="store_true", help="stop the listed sessions with their jobs")
    parser.add_argument("--yes", action="store_true", help="stop without asking")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def duration(text: str) -> timedelta:
    """Read ``90s``, ``30m``, ``2h`` or ``1d``."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected a number and s, m, h or d, such as 2h; got {text!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _run(options: argparse.Namespace) -> int:
    with redirect_stdout(sys.stderr):
        # Airflow's log goes where stdout is when Airflow is imported; what this command prints is to be read.
        from airflow_provider_drivepipe.cli.command_hook import CommandHook
    hook = CommandHook(options.conn_id, run_identity="drivepipe sessions")
    listed = _list(hook, options)
    if not options.json:
        _print_table(listed, "no orphans found" if options.orphans else "no live sessions found")
    if not options.stop or not listed:
        if options.json:
            _print_json(listed)
        return 0
    if not options.yes and not _confirmed(len(listed)):
        print("nothing was stopped")
        return 1
    stopped = _stop(hook, listed, quiet=options.json)
    if options.json:
        _print_json(listed, stopped)
    return 0 if all(stopped.values()) else 1


def _list(hook: MaxFrameHook, options: argparse.Namespace) -> list[Listed]:
    sessions = [s for s in hook.list_sessions() if _is_chosen(s, options)]
    verdicts = judge(sessions) if options.orphans else {}
    for session in sessions:
        verdict = verdicts.get(session.session_id)
        if verdict and verdict.orphan is None:
            print(f"not judged: session {session.session_id}, {verdict.why}", file=sys.stderr)
    if options.orphans:
        sessions = [s for s in sessions if verdicts[s.session_id].orphan]
    return [Listed(s, _jobs(hook, s), verdicts.get(s.session_id)) for s in sessions]


def _is_chosen(session: Session, options: argparse.Namespace) -> bool:
    age = _age(session)
    tags = session.tags
    return (
        (not options.ids or session.session_id in options.ids)
        and options.dag in (None, tags.dag_id)
        and options.run in (None, tags.run_id)
        and options.task in (None, tags.task_id)
        and (options.older_than is None or (age is not None and age > options.older_than))
    )


def _jobs(hook: MaxFrameHook, session: Session) -> Mapping[str, JobStatus] | None:
    try:
        return hook.session_jobs(session.session_id)
    except DrivepipeError as error:
        print(f"session {session.session_id} does not tell its jobs: {error}", file=sys.stderr)
        return None


def _confirmed(count: int) -> bool:
    try:
        answer = input(f"stop {'this session' if count == 1 else f'these {count} sessions'}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _stop(hook: MaxFrameHook, listed: Sequence[Listed], quiet: bool) -> dict[str, bool]:
    """Stop sessions one by one; return for each whether it is stopped."""
    # Since the list was made, a try may have begun that uses one again.
    orphans = [entry.session for entry in listed if entry.verdict is not None]
    now = judge(orphans) if orphans else {}
    stopped = {}
    for entry in listed:
        session_id = entry.session.session_id
        stopped[session_id] = False
        verdict = now.get(session_id)
        if verdict is not None and not verdict.orphan:
            print(f"not stopped: session {session_id}, its task is in use: {verdict.why}", file=sys.stderr)
            continue
        try:
            hook.stop_session(session_id)
        except DrivepipeError as error:
            print(f"not stopped: session {session_id}: {error}", file=sys.stderr)
            continue
        stopped[session_id] = True
        if not quiet:
            print(f"stopped {session_id}")
    return stopped


def _print_table(listed: Sequence[Listed], empty: str) -> None:
    if not listed:
        print(empty)
        return
    heading = ["SESSION", "AGE", "JOB", "TRY", "TASK", "RUN"]
    judged = any(entry.verdict for entry in listed)
    rows = [heading + ["AIRFLOW"] * judged]
    for entry in listed:
        session, tags = entry.session, entry.session.tags
        mapped = f"[{tags.map_index}]" if tags.map_index >= 0 else ""
        cells = [
            session.session_id,
            _age_text(_age(session)),
            _job_text(entry.jobs),
            str(tags.try_number),
            f"{tags.dag_id}.{tags.task_id}{mapped}",
            tags.run_id,
        ]
        rows.append(
            [_printable(cell) for cell in cells + [entry.verdict.why if entry.verdict else ""] * judged]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(listed: Sequence[Listed], stopped: Mapping[str, bool] | None = None) -> None:
    shown = []
    for entry in listed:
        session = entry.session
        age = _age(session)
        values: dict[str, Any] = {
            "session_id": session.session_id,
            **asdict(session.tags),
            "installation": session.installation,
            "owner": session.owner,
            "started": session.started.isoformat() if session.started else None,
            "age_seconds": int(age.total_seconds()) if age is not None else None,
            "jobs": None
            if entry.jobs is None
            else [
                {"maxframe_dag_id": i, "state": j.state, "progress": j.progress}
                for i, j in entry.jobs.items()
            ],
        }
        if entry.verdict:
            values["airflow"] = entry.verdict.why
        if stopped is not None:
            values["stopped"] = stopped[session.session_id]
        shown.append(values)
    print(json.dumps(shown, indent=2))


def _age(session: Session) -> timedelta | None:
    return datetime.now(UTC) - session.started if session.started else None


def _age_text(age: timedelta | None) -> str:
    if age is None:
        return "?"
    seconds = max(0, int(age.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d{hours:02d}h"
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{seconds % 60:02d}s"


def _job_text(jobs: Mapping[str, JobStatus] | None) -> str:
    from airflow_provider_drivepipe.hooks.maxframe import JobState

    if jobs is None:
        return "?"
    if not jobs:
        return "none"
    running = [job for job in jobs.values() if job.state is JobState.RUNNING]
    if running:
        return f"running {100 * running[0].progress:.0f} %"
    return str([*jobs.values()][-1].state)


def _printable(text: str) -> str:
    """Return a text that cannot steer a terminal: tags are whatever someone submitted."""
    return text if text.isprintable() else json.dumps(text)
