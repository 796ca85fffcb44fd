"""drivepipe prompts: the prompts of video reasoning, as packs for a domain: list, new, check, show."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.pipelines.reasoning.packs import (
    BUILT_IN,
    LANGUAGES,
    MODES,
    ONE_MODE,
    STEPS,
    Pack,
    PackError,
    load_pack,
    prompt_keys,
    step_of,
)
from airflow_provider_drivepipe.pipelines.reasoning.schemas import answer_schema
from airflow_provider_drivepipe.stages.generate import Generate

_DOMAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def main(arguments: Sequence[str]) -> int:
    """Run one of the actions; return 1 when a pack is not complete or a file cannot be written."""
    parser = argparse.ArgumentParser(prog="drivepipe prompts", description=__doc__)
    actions = parser.add_subparsers(required=True, dest="action", metavar="list|new|check|show")
    actions.add_parser("list", help="the built-in packs, and the keys of a pack")
    new = actions.add_parser("new", help="make a pack with marked places and a checklist for filling them in")
    new.add_argument("domain", metavar="DOMAIN", help="its name, for example farm")
    new.add_argument("-o", dest="folder", type=Path, metavar="DIR", help="its folder (default: ./DOMAIN)")
    check = actions.add_parser("check", help="name all that is missing, unknown or still to be filled in")
    check.add_argument("pack", metavar="PACK", help="folder of a pack, or name of a built-in one")
    show = actions.add_parser("show", help="print a prompt as the model gets it, the answer's shape included")
    show.add_argument("pack", metavar="PACK", help="folder of a pack, or name of a built-in one")
    show.add_argument("key", metavar="KEY", help="for example filter or qa.mcq")
    show.add_argument("--mode", choices=MODES, help="for a key with a prompt for each mode")
    show.add_argument(
        "--set",
        action="append",
        default=[],
        dest="values",
        metavar="NAME=VALUE",
        help="a value of the row, for example duration=01:12.0; those not given stay as {name}",
    )
    for action in (new, show):
        action.add_argument("--language", choices=LANGUAGES, default="en", help="default: en")
    options = parser.parse_args(arguments)
    try:
        if options.action == "list":
            _list()
        elif options.action == "new":
            _new(options.domain, options.folder or Path(options.domain), options.language)
        elif options.action == "check":
            _check(options.pack)
        else:
            print(
                _shown(load_pack(options.pack, options.language), options.key, options.mode, options.values)
            )
    except PackError as error:
        print(error, file=sys.stderr)
        return 1
    except CommandError as error:
        print(f"drivepipe prompts: {error}", file=sys.stderr)
        return 1
    return 0


def _list() -> None:
    packs = [load_pack(name, language) for name in BUILT_IN for language in LANGUAGES]
    print(table(["pack", "language", "version"], [[p.name, p.language, f"v{p.version}"] for p in packs]))
    rows = [
        [step, "" if step in ONE_MODE else ", ".join(MODES), " ".join(f"{{{name}}}" for name in columns)]
        for step, columns in STEPS.items()
    ]
    print()
    print(table(["key", "modes", "values of the row"], rows))


def _new(domain: str, folder: Path, language: str) -> None:
    """Write a pack's file and the checklist; no file there is replaced."""
    if not _DOMAIN.fullmatch(domain) or domain in BUILT_IN:
        raise CommandError(
            f"{domain!r} cannot be the name of a pack: use lower-case letters, digits, - and _, and none of "
            f"the built-in names {', '.join(BUILT_IN)}"
        )
    template = files("airflow_provider_drivepipe.pipelines.reasoning").joinpath("pack_texts", "new")
    written = {f"{language}.md": f"{language}.md", "CHECKLIST.md": f"checklist.{language}.md"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, source in written.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(template.joinpath(source).read_text("utf-8"))
            print(folder / name)
    except FileExistsError as error:
        raise CommandError(f"{error.filename} is there already") from error
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from error
    print(f"Fill in what says FILL IN, as CHECKLIST.md explains. Then: drivepipe prompts check {folder}")


def _check(pack: str) -> None:
    """Load every language that a pack has; raise PackError with the problems of all."""
    built_in = pack in BUILT_IN
    languages = [each for each in LANGUAGES if built_in or (Path(pack) / f"{each}.md").is_file()]
    problems: list[str] = []
    for language in languages or LANGUAGES[:1]:
        try:
            loaded = load_pack(pack, language)
            print(f"{loaded.title}: {len(loaded.prompts)} prompts, sha256 {loaded.sha256[:12]}")
        except PackError as error:
            problems += error.problems
    if problems:
        raise PackError(problems)


def _shown(pack: Pack, key: str, mode: str | None, settings: Sequence[str]) -> str:
    """Return a prompt with the values that are given, and the statement of what the answer looks like."""
    if key in STEPS and key not in ONE_MODE and mode is None:
        raise CommandError(f"{key} has a prompt for each mode: give --mode {' or --mode '.join(MODES)}")
    full = f"{key}.{mode}" if mode and key in STEPS and key not in ONE_MODE else key
    if full not in pack.prompts:
        raise CommandError(f"there is no key {key!r}; there are {', '.join(prompt_keys())}")
    prompt, step = pack.prompts[full], step_of(full)
    values = _values(settings, prompt.columns, full)
    schema = answer_schema(step, pack.language)
    message = Generate(step, "", prompt.text, columns=prompt.columns, schema=schema).whole_prompt
    return re.sub(r"\{(\w+)\}", lambda placed: values.get(placed[1], placed[0]), message)


def _values(settings: Sequence[str], columns: Sequence[str], key: str) -> Mapping[str, str]:
    values = dict(setting.partition("=")[::2] for setting in settings)
    for name in values:
        if name not in columns:
            has = f"it has {', '.join(columns)}" if columns else "it has none"
            raise CommandError(f"{key} has no value {name!r}: {has}")
    return values
