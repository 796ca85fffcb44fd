"""Parses 200 scenario files into DAGs; baseline: only reading the same YAML with PyYAML's C loader."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import yaml

from airflow_provider_drivepipe.factory import load_scenarios

FILES = 200


def main() -> None:
    text = (Path(__file__).parents[1] / "dags/scenarios/driving_demo.yaml").read_text()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(FILES):
            (folder / f"s{i}.yaml").write_text(text.replace("driving_demo", f"s{i}"))
        started = time.perf_counter()
        for file in folder.iterdir():
            yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
        baseline = time.perf_counter() - started
        for label in ("first parse", "nothing changed"):
            started = time.perf_counter()
            assert set(load_scenarios(folder)) == {f"drivepipe_s{i}" for i in range(FILES)}
            seconds = time.perf_counter() - started
            print(f"{label}: {FILES / seconds:.0f} DAGs/s, {seconds / baseline:.1f} x reading the YAML")


if __name__ == "__main__":
    main()
