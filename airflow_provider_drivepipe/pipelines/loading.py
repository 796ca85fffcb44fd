"""Reads scenario files: YAML with line numbers, defaults underneath, every problem reported at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError

from airflow_provider_drivepipe.pipelines.family import Family
from airflow_provider_drivepipe.pipelines.registry import DEFAULT_FAMILY, FAMILIES
from airflow_provider_drivepipe.scenario.fill_in import open_field
from airflow_provider_drivepipe.scenario.messages import shown, value_problems
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.rules import Finding, unknown_keys
from airflow_provider_drivepipe.stages.answer_schemas import read_answer_schema

DEFAULTS_FILE = "defaults.yaml"
SUFFIXES = (".yaml", ".yml")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a scenario file."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.line}: {key}{self.message}"


class ScenarioError(ValueError):
    """A scenario file that cannot be used; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line)))
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class _Entry:
    """A value with the place where it stands."""

    value: Any
    file: str
    line: int


@dataclass(frozen=True)
class Sources:
    """A scenario file and the ``defaults.yaml`` beside it as they were read; None where there is no file."""

    path: str
    content: bytes | None
    defaults: bytes | None

    @classmethod
    def read(cls, path: Path | str) -> Sources:
        """Read the files of a scenario."""
        path = Path(path)
        return cls(str(path), _content(path), _content(path.parent / DEFAULTS_FILE))


@dataclass(frozen=True)
class Loaded:
    """A scenario, and the files that it names, each with the digest of its content."""

    scenario: Scenario
    files: tuple[tuple[Path, bytes | None], ...]

    def is_current(self) -> bool:
        """Whether the files that the scenario names still have that content."""
        return all(_digest(_content(file)) == digest for file, digest in self.files)


def load_scenario(path: Path | str) -> Scenario:
    """Return the scenario of a YAML file, with ``defaults.yaml`` beside it merged underneath.

    Raises ScenarioError with every problem of the file, each with its line. What has not changed is not
    parsed again.
    """
    return load(Sources.read(path)).scenario


def load(sources: Sources) -> Loaded:
    """Return the scenario of what was read; raise ScenarioError as :func:`load_scenario` does."""
    loaded = _load(sources)
    if not loaded.is_current():
        _load.cache_clear()
        loaded = _load(sources)
    return loaded


def scenario_files(folder: Path | str) -> list[Path]:
    """Return the scenario files of a folder, sorted by name; defaults are none."""
    folder = Path(folder)
    found = folder.iterdir() if folder.is_dir() else ()
    paths = sorted((path for path in found if path.name.endswith(SUFFIXES)), key=str)
    return [path for path in paths if path.stem != Path(DEFAULTS_FILE).stem]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(content: bytes | None) -> bytes | None:
    return None if content is None else sha256(content).digest()


@lru_cache(maxsize=4096)
def _load(sources: Sources) -> Loaded:
    path = Path(sources.path)
    if sources.content is None:
        raise ScenarioError([Problem(sources.path, 1, "", "there is no such file")])
    entries: dict[str, _Entry] = {}
    problems: list[Problem] = []
    for file, content in ((path.parent / DEFAULTS_FILE, sources.defaults), (path, sources.content)):
        if content is not None:
            found, wrong = _parse(str(file), content)
            entries.update(found)
            problems += wrong
    files = _resolve_files(entries, path.parent, problems)
    scenario = _validate(sources.path, entries, problems)
    if problems or scenario is None:
        raise ScenarioError(problems)
    return Loaded(scenario, files)


@lru_cache(maxsize=16)
def _parse(name: str, content: bytes) -> tuple[Mapping[str, _Entry], Sequence[Problem]]:
    """Return the top-level entries of a YAML file with their lines, and what is wrong with it.

    Defaults are the same for many scenarios.
    """

    def problem(line: int, message: str) -> tuple[Mapping[str, _Entry], Sequence[Problem]]:
        return {}, [Problem(name, line, "", message)]

    try:
        loader = _LOADER(content.decode("utf-8"))
        root = loader.get_single_node()
        # Before values are made, which puts what "<<" merges into the node.
        keys = [key for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
        values = loader.construct_document(root) if root is not None else None
    except UnicodeDecodeError:
        return problem(1, "not UTF-8 text")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = " ".join(str(getattr(error, "problem", None) or error).split())
        if "unhashable" in message:
            message += "; put a text that starts with { into quotes"
        return problem(mark.line + 1 if mark else 1, f"not valid YAML: {message}")
    except ValueError as error:
        # As a date that there is not.
        return problem(1, f"a value cannot be read: {error}")
    if root is None:
        return problem(1, "the file is empty")
    if not isinstance(values, dict):
        return problem(1, "expected keys and values at the top level")
    entries: dict[str, _Entry] = {}
    problems = []
    for node in keys:
        key, line = str(node.value), node.start_mark.line + 1
        if key in entries:
            problems.append(Problem(name, line, key, f"stands twice, first in line {entries[key].line}"))
            continue
        entries[key] = _Entry(values.get(node.value, values.get(key)), name, line)
    return entries, problems


def _resolve_files(
    entries: dict[str, _Entry], folder: Path, problems: list[Problem]
) -> tuple[tuple[Path, bytes | None], ...]:
    """Replace ``file:<path>`` by the text of the file beside the scenario; return the files and digests."""
    files = []
    for key in ("label_prompt", "label_schema"):
        entry = entries.get(key)
        if entry is None or not isinstance(entry.value, str) or not entry.value.startswith("file:"):
            continue
        name = entry.value.removeprefix("file:").strip()
        file = (folder / name).resolve()
        try:
            content = _content_below(folder, file)
            files.append((file, _digest(content)))
            text = _text(content)
            if key == "label_schema":
                # Checked here, so that a message does not quote the whole file.
                text = read_answer_schema(text)
        except ValueError as error:
            problems.append(Problem(entry.file, entry.line, key, f"{name}: {error}"))
            del entries[key]
            continue
        entries[key] = _Entry(text, entry.file, entry.line)
        if key == "label_prompt":
            stem = str(PurePosixPath(name).with_suffix(""))
            entries.setdefault("label_prompt_name", _Entry(stem, entry.file, entry.line))
    return tuple(files)


def _content_below(folder: Path, file: Path) -> bytes:
    if folder.resolve() not in file.parents or not file.is_file():
        raise ValueError("no such file below the scenario's folder")
    return file.read_bytes()


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError("not UTF-8 text") from error


def _validate(path: str, entries: dict[str, _Entry], problems: list[Problem]) -> Scenario | None:
    def add(key: str, message: str) -> None:
        entry = entries.get(key)
        file, line = (entry.file, entry.line) if entry else (path, 1)
        problems.append(Problem(file, line, key, message))

    if not entries:
        return None
    named = entries["pipeline"].value if "pipeline" in entries else DEFAULT_FAMILY
    family = FAMILIES.get(named) if isinstance(named, str) else None
    if family is None:
        add("pipeline", f"there is no such family of pipelines; there are: {', '.join(FAMILIES)}")
        return None
    model = family.scenario
    for key, message in unknown_keys(list(entries), model):
        add(key, message)
    values = {key: entry.value for key, entry in entries.items() if key in model.model_fields}
    still_open = {key: what for key in values if (what := open_field(values[key])) is not None}
    for key, what in still_open.items():
        add(key, f"still to fill in: {what or model.model_fields[key].description}")
    reported = set(still_open)
    for key, message in _closed_problems(family, values, still_open):
        reported.add(key)
        add(key, message)
    try:
        return model(**values)
    except ValidationError as error:
        for key, message in value_problems(error, values):
            if key in still_open or (key in reported and key in ("input_shape", "targets")):
                continue
            add(key, message + shown(key, values.get(key)))
        return None


def _closed_problems(
    family: Family, values: Mapping[str, Any], still_open: Collection[str]
) -> Iterator[Finding]:
    """Yield what is wrong with the keys that are filled in.

    An open key counts as given, so that it is not called missing too. While input shape or targets are open,
    nothing can be said of what they decide.
    """
    deciding = ("input_shape", "targets")
    undecided = deciding if any(key in still_open for key in deciding) else ()
    for key, message in family.problems({k: v for k, v in values.items() if k not in undecided}):
        if key not in (*still_open, *undecided):
            yield key, message
