"""What the commands share that write a document about a scenario."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_provider_drivepipe.cli.errors import CommandError


def add_document_options(parser: argparse.ArgumentParser) -> None:
    """Give a command its scenario file and where the document goes."""
    parser.add_argument("file", type=Path, metavar="FILE", help="scenario file")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--output-dir",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder of the document (default: the current one)",
    )
    where.add_argument("--stdout", action="store_true", help="print the document instead")


def put_document(options: argparse.Namespace, name: str, mark: str, text: str) -> None:
    """Print a document, or write it to a file that begins with ``mark``, as ``options`` say.

    A file of that name is replaced if it begins with the mark; raises CommandError if it does not, or if the
    folder cannot be written.
    """
    if options.stdout:
        print(text, end="")
        return
    path: Path = options.output_dir / name
    try:
        if path.exists() and not path.read_text("utf-8", errors="replace").startswith(mark):
            raise CommandError(
                f"{path} is there already and was not written by this command: remove it, or choose another "
                "folder with --output-dir"
            )
        path.write_text(f"{mark}\n\n{text}", "utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from error
    print(f"wrote {path}")
