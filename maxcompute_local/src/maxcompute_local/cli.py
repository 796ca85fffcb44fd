"""``maxcompute-local``: the local cloud in the background."""

from __future__ import annotations

import argparse
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from maxcompute_local import cli_faults, cli_upload, lifecycle
from maxcompute_local.errors import LocalCloudError
from maxcompute_local.maxframe import workers
from maxcompute_local.models.catalog import builtin_models
from maxcompute_local.settings import MODEL_PROJECT, PROJECT, REGION, ROLE_ARN, ServerSettings


def main(
    arguments: Sequence[str] | None = None,
    prog: str = "maxcompute-local",
    root: Path | None = None,
    more_variables: Callable[[ServerSettings], Mapping[str, str]] = lambda _: {},
) -> int:
    """Run ``maxcompute-local <action>``; return the exit code.

    :param prog: the command that users type.
    :param root: the folder of all state unless ``--root`` names one; None for ``lifecycle.default_root()``.
    :param more_variables: what ``env`` prints beside the variables of the SDKs.
    """
    options = _parser(prog, root or lifecycle.default_root()).parse_args(arguments)
    options.prog, options.more_variables = prog, more_variables
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except LocalCloudError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 1


def _parser(prog: str, root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="A server on loopback that speaks the wire protocols of OSS, MaxCompute and MaxFrame.",
    )

    def add_root(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--root", type=Path, default=root, help=f"folder of all state (default: {root})")

    actions = parser.add_subparsers(required=True, metavar="up|status|env|upload|models|stats|faults|down")
    for name, action, text in (
        ("up", _up, "start it, unless it runs, and wait until it answers"),
        ("status", _status, "say whether it runs; exit code 1 when it does not"),
        ("env", _env, "print exports for the SDKs: endpoints, project, keys (holds the secret key)"),
        ("models", _models, "list its models, and what each can and cannot tell"),
        ("stats", _stats, "print how often each kind of call was made"),
        ("down", _down, "stop it and everything it started"),
    ):
        sub = actions.add_parser(name, help=text, description=text.capitalize() + ".")
        sub.set_defaults(action=action)
        add_root(sub)
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
    add_root(uploads)
    faults = actions.add_parser("faults", help="make things go wrong, for tests of those who call it")
    cli_faults.add_parser(faults, add_root)
    return parser


def _up(options: argparse.Namespace) -> int:
    started = lifecycle.up(
        options.root.absolute(), options.odps_port, options.oss_port, options.worker_requirements
    )
    print("the local cloud runs already" if started.already else "the local cloud runs")
    _print_addresses(options.root)
    at = f" --root {shlex.quote(str(options.root))}"
    print(f'\nnext:  eval "$({options.prog} env{at})"')
    return 0


def _status(options: argparse.Namespace) -> int:
    settings = lifecycle.require_running(options.root.absolute())
    print(f"running, process {settings.pid}")
    _print_addresses(options.root)
    return 0


def _env(options: argparse.Namespace) -> int:
    settings = lifecycle.require_running(options.root.absolute())
    for name, value in {**_sdk_variables(settings), **options.more_variables(settings)}.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _sdk_variables(settings: ServerSettings) -> dict[str, str]:
    """Return what scripts commonly read, and alibabacloud-oss-v2's EnvironmentVariableCredentialsProvider."""
    return {
        "ODPS_ENDPOINT": settings.odps_endpoint,
        "ODPS_PROJECT": PROJECT,
        "ODPS_ACCESS_ID": settings.access_key_id,
        "ODPS_ACCESS_KEY": settings.access_key_secret,
        "OSS_ENDPOINT": settings.oss_endpoint,
        "OSS_REGION": REGION,
        "OSS_ACCESS_KEY_ID": settings.access_key_id,
        "OSS_ACCESS_KEY_SECRET": settings.access_key_secret,
        "OSS_ROLE_ARN": ROLE_ARN,
        "MODEL_PROJECT": MODEL_PROJECT,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": settings.access_key_id,
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": settings.access_key_secret,
    }


def _models(_options: argparse.Namespace) -> int:
    models = builtin_models()
    for model in models:
        if model.stands_in:
            continue
        print(f"{model.name}: {model.task}")
        stand_ins = [m.label for m in models if m.stands_in and type(m.backend) is type(model.backend)]
        text = f"{model.card} It is also the {' and the '.join(stand_ins)}."
        print(textwrap.fill(text, 100, initial_indent="    ", subsequent_indent="    ") + "\n")
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


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"not a port: {text}")
    return port


if __name__ == "__main__":
    raise SystemExit(main())
