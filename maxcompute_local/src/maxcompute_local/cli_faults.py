"""``maxcompute-local faults``: what is to go wrong in the local cloud that runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.faults.presets import PRESETS
from maxcompute_local.faults.rules import STATUSES, FaultKind
from maxcompute_local.models.script_rules import CALLS

_USAGE = """\
examples:
  %(prog)s presets
  %(prog)s add oss-flaky --rate 0.5
  %(prog)s add --match 'odps.tunnel.*' --fault http --status 500 --count 3
  %(prog)s answer qwen3-vl-plus --fail-first 9 --status 400
  %(prog)s list
  %(prog)s clear

Calls have the names that the command 'stats' prints. Faults end with the server."""


def add_parser(parser: argparse.ArgumentParser, add_root: Callable[[argparse.ArgumentParser], None]) -> None:
    """Give ``faults`` its actions; ``add_root`` adds the option of the root folder."""
    parser.epilog = _USAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(required=True, metavar="list|presets|add|answer|clear")

    def action(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        sub = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(action=function)
        add_root(sub)
        return sub

    action("list", _list, "print the faults and prepared answers in force")
    action("presets", _presets, "print the faults that have a name")
    _add_options(action("add", _add, "put a fault in force, by preset or by --match and --fault"))
    _answer_options(action("answer", _answer, "answer chosen calls of a model instead of the model"))
    clear = action("clear", _clear, "drop all faults and prepared answers, or one fault")
    clear.add_argument("number", type=int, nargs="?", help="number of the fault, as 'list' prints it")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "preset", nargs="?", metavar="PRESET", help="see 'presets'; options replace its values"
    )
    parser.add_argument("--match", help="name of the calls, such as oss.GetObject or 'odps.tunnel.*'")
    parser.add_argument("--fault", choices=list(FaultKind), help="what goes wrong")
    parser.add_argument("--status", type=int, choices=STATUSES, help="of http; 503 unless given")
    parser.add_argument("--seconds", type=float, help="of latency, clock_skew and kill_worker")
    parser.add_argument(
        "--after-bytes", type=int, help="of reset and truncate; half of the body unless given"
    )
    parser.add_argument("--bytes-per-second", type=int, help="of drip")
    parser.add_argument("--after", type=int, help="let so many calls through first")
    parser.add_argument("--count", type=int, help="strike so many calls at most")
    parser.add_argument("--rate", type=float, help="strike this share of the calls, 0 to 1")
    parser.add_argument("--seed", type=int, help="chooses which calls belong to the share")


_FAULT_OPTIONS = (
    "match",
    "fault",
    "status",
    "seconds",
    "after_bytes",
    "bytes_per_second",
    "after",
    "count",
    "rate",
    "seed",
)


def _answer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model, or a pattern with '*'")
    parser.add_argument("--call", choices=CALLS, help="all unless given")
    parser.add_argument("--fail-first", type=int, metavar="N", help="the first N different pictures")
    parser.add_argument(
        "--image",
        action="append",
        metavar="TEXT",
        help="part of a picture's address, or of its SHA-256's start",
    )
    parser.add_argument("--video", action="append", metavar="TEXT", help="the same of a video")
    parser.add_argument("--prompt", action="append", metavar="TEXT", help="part of the call's text")
    parser.add_argument("--nth", type=int, action="append", metavar="N", help="the N-th call")
    parser.add_argument("--rate", type=float, help="this share of the pictures, 0 to 1, by their bytes")
    parser.add_argument("--seed", type=int, default=0, help="chooses which pictures belong to the share")
    parser.add_argument("--times", type=int, help="how often one picture is picked; for ever unless given")
    parser.add_argument("--status", type=int, default=200, help="HTTP status; 400 and above is an error")
    parser.add_argument("--message", help="text of the error")
    parser.add_argument("--content", help="text of the answer")
    parser.add_argument("--body", help="whole answer, sent as it stands")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="before the answer")
    parser.add_argument("--retry-after", type=int, metavar="SECONDS", help="Retry-After of a failure")


def _control(options: argparse.Namespace) -> LocalCloudControl:
    root: Path = options.root
    return LocalCloudControl(root)


def _list(options: argparse.Namespace) -> int:
    control = _control(options)
    faults, rules = control.faults.list(), control.models.list()
    if not faults and not rules:
        print("nothing: all is well")
    for fault in faults:
        met = f"{fault.pop('struck')} of {fault.pop('matched')} calls struck"
        print(f"{fault.pop('id')}  {fault.pop('fault')} at {fault.pop('match')}{_rest(fault)}: {met}")
    for rule in rules:
        del rule["id"]
        picked = rule.pop("picked")
        print(f"model {rule.pop('model')}{_rest(rule)}: {picked} calls answered")
    return 0


def _rest(values: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    return f" ({text})" if text else ""


def _presets(_options: argparse.Namespace) -> int:
    width = max(map(len, PRESETS))
    for name, (text, _) in PRESETS.items():
        print(f"{name:<{width}}  {text}")
    return 0


def _add(options: argparse.Namespace) -> int:
    given = {name: getattr(options, name) for name in _FAULT_OPTIONS if getattr(options, name) is not None}
    faults = _control(options).faults
    if options.preset is not None:
        number = faults.add_preset(options.preset, **given)
    else:
        number = faults.add(given.pop("match", ""), given.pop("fault", ""), **given)
    print(f"fault {number} is in force; '{options.prog} faults clear {number}' ends it")
    return 0


def _answer(options: argparse.Namespace) -> int:
    _control(options).models.script(
        options.model,
        call=options.call,
        nth=options.nth or (),
        fail_first=options.fail_first,
        images=options.image or (),
        videos=options.video or (),
        prompts=options.prompt or (),
        rate=options.rate,
        seed=options.seed,
        times=options.times,
        status=options.status,
        message=options.message,
        content=options.content,
        body=options.body,
        delay=options.delay,
        retry_after=options.retry_after,
    )
    print(f"the answer is prepared; '{options.prog} faults clear' ends it")
    return 0


def _clear(options: argparse.Namespace) -> int:
    control = _control(options)
    dropped = control.faults.clear(options.number)
    if options.number is None:
        print(f"{dropped} faults and {control.models.clear()} prepared answers are gone")
        return 0
    print(f"fault {options.number} is gone" if dropped else f"there is no fault {options.number}")
    return 0 if dropped else 1
