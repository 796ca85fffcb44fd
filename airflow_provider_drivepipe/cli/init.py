"""drivepipe init: ask what a scenario is to do and write its file."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.questions import Interview
from airflow_provider_drivepipe.documents.draft_file import scenario_file
from airflow_provider_drivepipe.documents.drafting import conventional, problems, read_answer
from airflow_provider_drivepipe.pipelines.loading import DEFAULTS_FILE, ScenarioError, load_scenario
from airflow_provider_drivepipe.scenario.rules import looks_like_credential

_EXAMPLES = """\
examples:
  drivepipe init
  drivepipe init dags/scenarios/night_rain.yaml
  drivepipe init --set scenario_name=night_rain --set input_shape=oss_prefix \\
      --set targets=manifest,frame-extraction night_rain.yaml

Names of buckets, models and your own tables are never made up: what is not
given becomes a field that says FILL IN, and drivepipe validate names each."""


def main(arguments: Sequence[str]) -> int:
    """Write a scenario file; return 1 when an answer is wrong or the file cannot be written."""
    parser = argparse.ArgumentParser(
        prog="drivepipe init",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="scenario file to write, or a folder for it (default: <scenario_name>.yaml here)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="a value of the scenario; any key of a scenario file",
    )
    parser.add_argument("--no-input", action="store_true", help="ask nothing, on a terminal either")
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    options = parser.parse_args(arguments)
    try:
        return _init(options)
    except CommandError as error:
        print(f"drivepipe init: {error}", file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\ndrivepipe init: stopped before the last question; nothing was written", file=sys.stderr)
        return 130


def _init(options: argparse.Namespace) -> int:
    given = _read_settings(options.settings)
    folder = _folder(options.file)
    if options.file is not None and options.file != folder:
        _check_path(options.file, options.force)
    defaults = _read_defaults(folder / DEFAULTS_FILE)
    _refuse(problems({**defaults, **given}))
    draft = given
    if sys.stdin.isatty() and not options.no_input:
        draft = Interview(given, defaults).run()
    draft = {**draft, **conventional({**defaults, **draft})}
    path = _path(options.file, folder, draft)
    _check_path(path, options.force)
    _write(path, scenario_file(draft, defaults), options.force)
    _report(path)
    return 0


def _read_settings(settings: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        key = key.strip()
        if not separator or not key:
            shown = "" if looks_like_credential(setting) else f", got {setting!r}"
            raise CommandError(f"--set takes KEY=VALUE, such as scenario_name=night_rain{shown}")
        if key in values:
            raise CommandError(f"--set {key} is there twice")
        values[key] = read_answer(key, text)
    if isinstance(values.get("targets"), str):
        values["targets"] = [target.strip() for target in values["targets"].split(",")]
    return values


def _refuse(found: Sequence[tuple[str, str]]) -> None:
    if found:
        raise CommandError("\n  ".join(["these values do not work:", *(f"{k}: {m}" for k, m in found)]))


def _folder(file: Path | None) -> Path:
    if file is None:
        return Path()
    return file if file.is_dir() else file.parent


def _path(file: Path | None, folder: Path, draft: dict[str, Any]) -> Path:
    if file is not None and not file.is_dir():
        return file
    return folder / f"{draft.get('scenario_name', 'scenario')}.yaml"


def _check_path(path: Path, force: bool) -> None:
    if path.suffix not in (".yaml", ".yml"):
        raise CommandError(f"{path}: a scenario file ends in .yaml; others are not read")
    if path.stem == Path(DEFAULTS_FILE).stem:
        raise CommandError(f"{path}: this name is for what lies underneath all scenarios of a folder")
    if path.exists() and not force:
        raise CommandError(f"{path} is there already: choose another file, or replace it with --force")


def _read_defaults(path: Path) -> dict[str, Any]:
    """Return what lies underneath the scenario files of a folder."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CommandError(f"{path} cannot be read; 'drivepipe validate' says what is wrong") from error
    return values if isinstance(values, dict) else {}


def _write(path: Path, text: str, force: bool) -> None:
    """Put the whole file into place, or nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        draft.write_text(text, "utf-8")
        if not force:
            path.touch(exist_ok=False)
        draft.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)


def _report(path: Path) -> None:
    """Say what was written and what is still to do, by the rules that ``drivepipe validate`` follows."""
    quoted = shlex.quote(str(path))
    print(f"\nwrote {path}")
    try:
        scenario = load_scenario(path)
    except ScenarioError as error:
        print("still to do in it:")
        for problem in error.problems:
            print(f"  line {problem.line:<3} {problem.key}: {problem.message}")
        print(f"then:\n  drivepipe validate {quoted}")
    else:
        print(f"DAG {scenario.dag_id}\nnext:\n  drivepipe plan {quoted}\n  drivepipe walkthrough {quoted}")
