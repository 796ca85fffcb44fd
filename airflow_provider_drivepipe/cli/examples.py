"""drivepipe examples: the example scenarios and DAGs that come with the package."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_drivepipe.cli.airflow_home import find_examples
from airflow_provider_drivepipe.cli.errors import CommandError

_ENDINGS = (".py", ".yaml")


def main(arguments: Sequence[str]) -> int:
    """Copy the examples; return 1 when a file is in the way."""
    parser = argparse.ArgumentParser(prog="drivepipe examples", description=__doc__)
    actions = parser.add_subparsers(required=True, metavar="copy")
    copy = actions.add_parser("copy", help="copy them into a folder of DAGs; no file there is replaced")
    copy.add_argument("folder", type=Path, metavar="FOLDER", help="for example dags/; made if it is missing")
    options = parser.parse_args(arguments)
    try:
        _copy(find_examples(), options.folder)
    except CommandError as error:
        print(f"drivepipe examples: {error}", file=sys.stderr)
        return 1
    return 0


def _copy(source: Path, folder: Path) -> None:
    """Copy all files, or none where one of them would replace another one."""
    names = sorted(path.relative_to(source) for path in source.rglob("*") if path.suffix in _ENDINGS)
    in_the_way = [
        str(folder / name)
        for name in names
        if (folder / name).exists() and (folder / name).read_bytes() != (source / name).read_bytes()
    ]
    if in_the_way:
        raise CommandError(f"nothing was copied: {', '.join(in_the_way)} would be replaced")
    try:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise CommandError(f"{error.filename} cannot be written: {error.strerror}") from error
    print("\n".join(f"{folder / name}" for name in names))
