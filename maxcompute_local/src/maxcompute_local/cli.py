"""``maxcompute-local``: the local cloud in the background."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from maxcompute_local import cli_faults, cli_upload, lifecycle
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe import workers


def main(arguments: Sequence[str] | None = None, prog: str = "maxcompute-local") -> int:
    """Run ``maxcompute-local <action>``; return the exit code. ``prog`` is the command that users type."""
    options = _parser(prog).parse_args(arguments)
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except LocalCloudError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A server on loopback that speaks the wire protocols of OSS, MaxCompute and MaxFrame.",
    )
    actions = parser.add_subparsers(required=True, metavar="up|status|env|upload|stats|faults|down")
    for name, action, text in (
        ("up", _up, "start it, unless it runs, and wait until it answers"),
        ("status", _status, "say whether it runs; exit code 1 when it does not"),
        ("env", _env, "print the export of its Airflow connection (holds the secret key)"),
        ("stats", _stats, "print how often each kind of call was made"),
        ("down", _down, "stop it and everything it started"),
    ):
        sub = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(action=action)
        _add_root(sub)
        if name == "up":
            sub.add_argument("--odps-port", type=_port, help="port of MaxCompute; 0 for any free one")
            sub.add_argument("--oss-port", type=_port, help="port of OSS; 0 for any free one")
            sub.add_argument(
                "--worker-requirements",
                metavar="REQUIREMENT",
                nargs="+",
                help="what all MaxFrame workers have, beside what MaxFrame itself needs "
                f"(default: '{workers.PANDAS}', as MaxCompute)",
            )
    text = cli_upload.main.__doc__ or ""
    uploads = actions.add_parser("upload", help="put a folder of this machine into OSS", description=text)
    uploads.set_defaults(action=cli_upload.main)
    cli_upload.add_arguments(uploads)
    _add_root(uploads)
    faults = actions.add_parser("faults", help="make things go wrong, for tests of those who call it")
    cli_faults.add_parser(faults, _add_root)
    return parser


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        default=lifecycle.default_root(),
        help=f"folder of all state (default: ${lifecycle.ROOT_VARIABLE} or {lifecycle.DEFAULT_ROOT})",
    )


def _up(options: argparse.Namespace) -> int:
    started = lifecycle.up(
        options.root.absolute(), options.odps_port, options.oss_port, options.worker_requirements
    )
    print("the local cloud runs already" if started.already else "the local cloud runs")
    _print_addresses(options.root)
    print(f'\nnext:  eval "$(drivepipe local env{_root_option(options.root)})"')
    return 0


def _status(options: argparse.Namespace) -> int:
    settings = lifecycle.require_running(options.root.absolute())
    print(f"running, process {settings.pid}")
    _print_addresses(options.root)
    return 0


def _env(options: argparse.Namespace) -> int:
    settings = lifecycle.require_running(options.root.absolute())
    connection = shlex.quote(lifecycle.connection_json(settings))
    print(f"export {lifecycle.CONNECTION_VARIABLE}={connection}")
    return 0


def _stats(options: argparse.Namespace) -> int:
    counters = lifecycle.stats(options.root.absolute())
    width = max(map(len, counters), default=0)
    for kind, count in counters.items():
        print(f"{kind:<{width}}  {count}")
    return 0


def _down(options: argparse.Namespace) -> int:
    stopped = lifecycle.down(options.root.absolute())
    print("the local cloud is stopped" if stopped else f"no local cloud runs on {options.root}")
    return 0


def _print_addresses(root: Path) -> None:
    settings = lifecycle.require_running(root.absolute())
    print(f"  MaxCompute  {settings.odps_endpoint}")
    print(f"  OSS         {settings.oss_endpoint}")
    print(f"  state       {root.absolute()}")
    print(f"  log         {lifecycle.log_file(root.absolute())}")


def _root_option(root: Path) -> str:
    return "" if root == lifecycle.default_root() else f" --root {shlex.quote(str(root))}"


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"not a port: {text}")
    return port
