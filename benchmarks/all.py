"""Runs the benchmarks that have a baseline; prints a table behind their JSON lines. ``--quick``: minutes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

QUICK = {
    "frames.py": ["--quick"],
    "manifest_listing.py": ["--quick"],
    "parse_scenarios.py": ["--files", "200"],
    "rerun_statements.py": [],
}
"""Each benchmark, with its arguments for ``--quick``."""


def figures(script: str, arguments: list[str]) -> list[dict[str, object]]:
    """Run a benchmark; pass on its lines as they come, and return what they say. Raises when it fails."""
    path = Path(__file__).with_name(script)
    found = []
    with subprocess.Popen([sys.executable, path, *arguments], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith("{"):
                found.append(json.loads(line))
    if process.returncode:
        raise SystemExit(f"{script} failed")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    found = [one for script, less in QUICK.items() for one in figures(script, less if quick else [])]
    print(f"\n{'benchmark':<32}{'ratio':>8}{'ours':>12}{'baseline':>12}  unit")
    for one in found:
        print("{name:<32}{ratio:>8}{ours:>12}{baseline:>12}  {unit}".format(**one))


if __name__ == "__main__":
    main()
