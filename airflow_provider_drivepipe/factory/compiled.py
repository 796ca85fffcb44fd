"""What a scenario file becomes: its scenario, its plan and the texts for people, made once for each content.

Airflow reads a DAG file again and again, each time in a new process, so what was made is kept in files.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from airflow_provider_drivepipe import __version__
from airflow_provider_drivepipe.pipelines.loading import Loaded, Sources, load
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.plan import Plan

_DIGEST = 32


@dataclass(frozen=True)
class CompiledScenario:
    """A scenario with all that its DAG is made of."""

    scenario: Scenario
    plan: Plan
    doc: str
    """The walkthrough, as Markdown."""
    task_docs: tuple[str, ...]
    """What each task of the plan does, as Markdown."""


def compile_scenario(scenario: Scenario) -> CompiledScenario:
    """Return what a scenario becomes."""
    # Not needed where it is kept already.
    from airflow_provider_drivepipe.documents.task_doc import task_doc
    from airflow_provider_drivepipe.documents.walkthrough import walkthrough

    steps = plan(scenario)
    return CompiledScenario(
        scenario, steps, walkthrough(scenario, steps), tuple(task_doc(task) for task in steps.tasks)
    )


def compile_file(path: Path | str) -> CompiledScenario:
    """Return what a scenario file becomes; raise ScenarioError with everything that is wrong with it.

    It is kept in ``$AIRFLOW_HOME/drivepipe_plans``, one file for each scenario file, together with the
    digests of what it was made of and of itself. A folder that cannot be read or written costs the work,
    nothing else.
    """
    sources = Sources.read(path)
    made_of = _made_of(sources)
    place = _place(sources)
    kept = _read(place, made_of)
    if kept is not None and kept[0].is_current():
        return kept[1]
    loaded = load(sources)
    compiled = compile_scenario(loaded.scenario)
    with suppress(OSError):
        _write(place, made_of, (loaded, compiled))
    return compiled


def _place(sources: Sources) -> Path:
    home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow").expanduser()
    return home / "drivepipe_plans" / sha256(str(Path(sources.path).absolute()).encode()).hexdigest()


def _made_of(sources: Sources) -> bytes:
    digest = sha256(_code())
    for content in (sources.content, sources.defaults):
        digest.update(b"-" if content is None else b"%d " % len(content) + content)
    return digest.digest()


@cache
def _code() -> bytes:
    """The versions of the interpreter and the package, and when one of its files was last changed: while
    people work on it, the version stays."""
    package = Path(__file__).parents[1]
    return f"{sys.hexversion} {__version__} {max(_changes(str(package)))}".encode()


def _changes(folder: str) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _changes(entry.path)
            else:
                yield entry.stat().st_mtime_ns


def _read(place: Path, made_of: bytes) -> tuple[Loaded, CompiledScenario] | None:
    """Return what is kept, None unless it is whole, ours, and made of that."""
    try:
        with place.open("rb") as file:
            ours = os.fstat(file.fileno()).st_uid == os.getuid()
            head, digest, body = file.read(_DIGEST), file.read(_DIGEST), file.read()
    except OSError:
        return None
    if not ours or head != made_of or sha256(body).digest() != digest:
        return None
    kept: tuple[Loaded, CompiledScenario] = pickle.loads(body)
    return kept


def _write(place: Path, made_of: bytes, kept: tuple[Loaded, CompiledScenario]) -> None:
    """Put the whole file into place, or nothing: other processes read and write it too."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    body = pickle.dumps(kept, pickle.HIGHEST_PROTOCOL)
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        draft.write_bytes(made_of + sha256(body).digest() + body)
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
