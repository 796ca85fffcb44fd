"""``drivepipe local``: hands through to ``maxcompute-local``."""

from __future__ import annotations

from collections.abc import Sequence

from maxcompute_local import cli


def main(arguments: Sequence[str]) -> int:
    """Run ``drivepipe local <action>``; return the exit code."""
    return cli.main(arguments, prog="drivepipe local")
