"""Reads scenario files: YAML with line numbers, defaults underneath, every problem reported at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
class _Loaded:
    """A scenario, and the files that it names with what they looked like."""

    scenario: Scenario
    files: tuple[tuple[Path, tuple[int, int] | None], ...]


def load_scenario(path: Path | str) -> Scenario:
    """Return the scenario of a YAML file, with ``defaults.yaml`` beside it merged underneath.

    Raises ScenarioError with every problem of the file, each with its line. A file that has not changed is
    not read again, nor is one that it names.
    """
    path = Path(path)
    defaults = path.parent / DEFAULTS_FILE
    loaded = _load(str(path), _stamp(path), str(defaults), _stamp(defaults))
    if any(_stamp(file) != stamp for file, stamp in loaded.files):
        _load.cache_clear()
        loaded = _load(str(path), _stamp(path), str(defaults), _stamp(defaults))
    return loaded.scenario


def scenario_files(folder: Path | str) -> list[Path]:
    """Return the scenario files of a folder, sorted by name; defaults are none."""
    found = [*Path(folder).glob("*.yaml"), *Path(folder).glob("*.yml")]
    return sorted(p for p in found if p.stem != Path(DEFAULTS_FILE).stem)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=4096)
def _load(
    path: str, stamp: tuple[int, int] | None, defaults: str, defaults_stamp: tuple[int, int] | None
) -> _Loaded:
    problems: list[Problem] = []
    if stamp is None:
        raise ScenarioError([Problem(path, 1, "", "there is no such file")])
    entries = _read(Path(defaults), problems) if defaults_stamp else {}
    entries = {**entries, **_read(Path(path), problems)}
    files = _resolve_files(entries, Path(path).parent, problems)
    scenario = _validate(path, entries, problems)
    if problems or scenario is None:
        raise ScenarioError(problems)
    return _Loaded(scenario, tuple((file, _stamp(file)) for file in files))


def _read(path: Path, problems: list[Problem]) -> dict[str, _Entry]:
    """Return the top-level entries of a YAML file with their lines."""
    name = str(path)
    try:
        text = path.read_text("utf-8")
        root = yaml.compose(text, Loader=_LOADER)
        values = yaml.load(text, Loader=_LOADER)  # a safe loader
    except UnicodeDecodeError:
        problems.append(Problem(name, 1, "", "not UTF-8 text"))
        return {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = " ".join(str(getattr(error, "problem", None) or error).split())
        if "unhashable" in message:
            message += "; put a text that starts with { into quotes"
        problems.append(Problem(name, mark.line + 1 if mark else 1, "", f"not valid YAML: {message}"))
        return {}
    except ValueError as error:
        # As a date that there is not.
        problems.append(Problem(name, 1, "", f"a value cannot be read: {error}"))
        return {}
    if root is None:
        problems.append(Problem(name, 1, "", "the file is empty"))
        return {}
    if not isinstance(root, yaml.MappingNode):
        problems.append(Problem(name, 1, "", "expected keys and values at the top level"))
        return {}
    entries: dict[str, _Entry] = {}
    for key_node, _ in root.value:
        key, line = str(key_node.value), key_node.start_mark.line + 1
        if key in entries:
            first = entries[key].line
            problems.append(Problem(name, line, key, f"stands twice, first in line {first}"))
            continue
        entries[key] = _Entry(values.get(key_node.value, values.get(key)), name, line)
    return entries


def _resolve_files(entries: dict[str, _Entry], folder: Path, problems: list[Problem]) -> tuple[Path, ...]:
    """Replace ``file:<path>`` by the text of the file beside the scenario; return these files."""
    files = []
    for key in ("label_prompt", "label_schema"):
        entry = entries.get(key)
        if entry is None or not isinstance(entry.value, str) or not entry.value.startswith("file:"):
            continue
        name = entry.value.removeprefix("file:").strip()
        file = (folder / name).resolve()
        files.append(file)
        try:
            text = _text_below(folder, file)
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


def _text_below(folder: Path, file: Path) -> str:
    if folder.resolve() not in file.parents or not file.is_file():
        raise ValueError("no such file below the scenario's folder")
    try:
        return file.read_text("utf-8")
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
