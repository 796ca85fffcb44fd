"""The folders that ``demo``, ``up`` and ``down`` work in."""

from __future__ import annotations

import argparse
from pathlib import Path

from airflow_provider_drivepipe.cli.airflow_home import DEFAULT_HOME
from airflow_provider_drivepipe.cli.local import default_root


def add_folders(parser: argparse.ArgumentParser, *, dags: bool = True) -> None:
    """Add ``--root``, ``--home`` and, where DAGs are read, ``--dags``."""
    root = default_root()
    parser.add_argument("--root", type=Path, default=root, help=f"local cloud (default: {root})")
    home = DEFAULT_HOME
    parser.add_argument("--home", type=Path, default=home, help=f"AIRFLOW_HOME (default: {home})")
    if dags:
        parser.add_argument("--dags", type=Path, help="folder of DAGs (default: ./dags)")
