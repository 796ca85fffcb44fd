"""``drivepipe local``: hands through to ``maxcompute-local``."""

from __future__ import annotations

from collections.abc import Sequence

from maxcompute_local import cli
from maxcompute_local.lifecycle import connection_json, default_root

__all__ = ["connection_json", "default_root", "main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``drivepipe local <action>``; return the exit code."""
    return cli.main(arguments, prog="drivepipe local")
