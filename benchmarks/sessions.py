"""MaxFrame sessions open at once, each with one small DAG (--sessions); baseline: one after the other, 10."""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import maxframe.dataframe as md
import pandas as pd
from maxframe.config import options
from maxframe.session import new_session
from measured_cloud import MeasuredCloud, measured_cloud
from odps.config import option_context


def run(cloud: MeasuredCloud, number: int) -> None:
    with option_context():
        session = new_session(cloud.odps(), default=False)
        try:
            column = md.DataFrame(pd.DataFrame({"n": [number, 1]}))["n"].sum()
            assert column.execute(session=session).fetch(session=session) == number + 1
        finally:
            session.destroy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    count = parser.parse_args().sessions
    options.show_progress = False
    with tempfile.TemporaryDirectory() as name, measured_cloud(Path(name)) as cloud:
        run(cloud, 0)  # the engine's first start
        started = time.perf_counter()
        for number in range(10):
            run(cloud, number)
        baseline = (time.perf_counter() - started) / 10
        cloud.reset_peak()
        started = time.perf_counter()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda number: run(cloud, number), range(count)))
        each = (time.perf_counter() - started) / count
        print(
            f"{count} sessions at once: {each:.2f} s each, {each / baseline:.1f} x one after the other; "
            f"server's peak memory {cloud.peak_mib():.0f} MiB"
        )


if __name__ == "__main__":
    main()
