"""The documentation of a DAG: the walkthrough of its scenario, rendered once for each content.

Airflow reads a DAG file again and again, each time in a new process, so what was rendered is kept in a file.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from airflow_provider_drivepipe import __version__
from airflow_provider_drivepipe.documents.walkthrough import walkthrough
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan


def dag_doc(scenario: Scenario, plan: Plan) -> str:
    """Return the DAG's documentation as Markdown; ``plan`` is the scenario's.

    It is kept in ``$AIRFLOW_HOME/drivepipe_docs/<DAG id>.md``, with the hash of what it was made of in the
    first line. A folder that cannot be read or written costs the rendering, nothing else.
    """
    made_of = sha256(f"{_code()}\n{scenario.model_dump_json()}".encode()).hexdigest()
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
    file = Path(home, "drivepipe_docs", f"{scenario.dag_id}.md").expanduser()
    with suppress(OSError, UnicodeDecodeError):
        kept, _, text = file.read_bytes().decode().partition("\n")
        if kept == made_of:
            return text
    text = walkthrough(scenario, plan)
    with suppress(OSError):
        _put(file, f"{made_of}\n{text}".encode())
    return text


@cache
def _code() -> str:
    """The package's version, and when a module that has to do with texts was last changed: while people work
    on it, the version stays."""
    package = Path(__file__).parents[1]
    folders = ("documents", "stages", "pipelines/*", "scenario")
    changed = max(file.stat().st_mtime_ns for folder in folders for file in package.glob(f"{folder}/*.py"))
    return f"{__version__} {changed}"


def _put(file: Path, content: bytes) -> None:
    """Put the whole file into place, or nothing: other processes read and write it too."""
    file.parent.mkdir(exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, delete=False) as draft:
        try:
            draft.write(content)
            draft.flush()
            Path(draft.name).replace(file)
        finally:
            Path(draft.name).unlink(missing_ok=True)
