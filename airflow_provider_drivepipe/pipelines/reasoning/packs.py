"""Packs of prompts: what models are told at each step, for one domain and one language.

A pack is a folder with a file per language, ``en.md`` or ``zh.md``. Each ``## key`` begins a text::

    version: 1
    base: dashcam

    ## anomaly
    An anomaly is …

The keys are those of the steps (:data:`STEPS`) and of the texts that the steps are put together from.
``{name}`` stands for another text, or for a value of the row where the step has it; any other brace is a
brace. A key may end in ``.anomaly`` or ``.normal``: it then counts for videos of that mode. What a pack does
not hold comes from its ``base``, a built-in pack, and else from the shared texts; without a base it must hold
the texts on its domain (:data:`PARTS`) itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path

from airflow_provider_drivepipe.scenario.fill_in import open_field
from airflow_provider_drivepipe.stages.prompts import sha256

BUILT_IN = ("dashcam", "general", "traffic", "warehouse")
LANGUAGES = ("en", "zh")
MODES = ("anomaly", "normal")

_CAPTIONS = ("duration", "global_caption", "dense_caption")
_QA = ("duration", "description")
STEPS: Mapping[str, tuple[str, ...]] = {
    "filter": ("duration",),
    "global_caption": ("duration",),
    "dense_caption": ("duration",),
    "chunk_caption": ("duration", "start", "end"),
    "moment": _CAPTIONS,
    "highlight": ("duration", "start", "end", "moment"),
    "description": (*_CAPTIONS, "chunk_captions", "highlight"),
    "qa.mcq": _QA,
    "qa.bcq": _QA,
    "qa.open_qa": _QA,
    "qa.causal_linkage": _QA,
    "qa.temporal_localization": _QA,
    "qa.temporal_event_desc": _QA,
    "qa.scene_description": _QA,
    "qa.event_summary": _QA,
    "blind": ("question", "options"),
}
"""Steps with a prompt, and the values of the row that it may speak of: columns that hold text.

``duration``, ``start``, ``end`` and ``moment`` are clock texts ``MM:SS.s`` on the clock of the whole video.
"""
ONE_MODE = ("filter", "moment", "highlight", "blind")
"""Steps that know no mode yet, or only one; all others have a prompt for each mode."""

PARTS = (
    "domain",
    "in_domain",
    "viewpoint",
    "actors",
    "scene",
    "events",
    "anomaly",
    "not_anomaly",
    "analysis",
    "questions",
)
"""Texts on the domain, which the steps are put together from."""

_HEADING = re.compile(r"## ([a-z_]+(?:\.[a-z_]+)*)\s*")
_SETTING = re.compile(r"(version|base):\s*(\S+)\s*")
_PLACEHOLDER = re.compile(r"\{(\s*\w+\s*)\}")


class PackError(ValueError):
    """A pack that cannot be used; ``problems`` lists all that is wrong with it, each with file and line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Prompt:
    """What a model is told: ``{column}`` in the text stands for the row's value of each of ``columns``."""

    text: str
    columns: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """64 hex digits over the text."""
        return sha256(self.text)


@dataclass(frozen=True)
class Pack:
    """All prompts of a domain in one language, by key: ``filter``, ``qa.mcq.anomaly``, …"""

    name: str
    version: str
    language: str
    prompts: Mapping[str, Prompt]

    @property
    def title(self) -> str:
        """Name, language and version, for reports. Only texts count for what has to run again."""
        return f"{self.name}-{self.language} v{self.version}"

    @property
    def sha256(self) -> str:
        """64 hex digits over all prompts."""
        return sha256("\n".join(f"{key} {self.prompts[key].sha256}" for key in sorted(self.prompts)))

    def prompt(self, key: str) -> str:
        """Return the text of a prompt; raise KeyError for a key that is not in :func:`prompt_keys`."""
        return self.prompts[key].text


def prompt_keys() -> tuple[str, ...]:
    """Return the keys of all prompts of a pack: steps, with the mode at the end where it matters."""
    return tuple(f"{step}.{mode}" if mode else step for step in STEPS for mode in _modes(step))


def step_of(key: str) -> str:
    """Return the step that a prompt belongs to: its key without the mode."""
    return re.sub(rf"\.({'|'.join(MODES)})$", "", key)


def _modes(step: str) -> tuple[str, ...]:
    return ("",) if step in ONE_MODE else MODES


def load_pack(pack: str | Path, language: str = "en") -> Pack:
    """Return a pack: a built-in one by its name, else one of a user's by its folder.

    Raises :class:`PackError` with everything that is wrong: a missing file or key, a key or a placeholder
    that does not exist, marks that are still to be filled in.
    """
    if pack in BUILT_IN:
        layers = [_read(str(pack), language)]
    else:
        own = _layer(Path(pack), language, str(pack))
        if own.base and own.base not in BUILT_IN:
            own.problems.append(f"{own.file}: there is no base {own.base!r}, only {', '.join(BUILT_IN)}")
        layers = [own, *([_read(own.base, language)] if own.base in BUILT_IN else [])]
    composer = _Composer([*layers, _read("steps", language)])
    prompts = composer.prompts()
    problems = [*layers[0].problems, *dict.fromkeys(composer.problems)]
    if problems:
        raise PackError(problems)
    return Pack(Path(pack).resolve().name, layers[0].version, language, prompts)


@dataclass(frozen=True)
class _Text:
    text: str
    file: str
    line: int
    """Line of the file on which the text begins."""

    def place(self, offset: int) -> str:
        return f"{self.file}:{self.line + self.text.count(chr(10), 0, offset)}"


@dataclass
class _Layer:
    """One file of texts."""

    file: str
    version: str = ""
    base: str = ""
    texts: dict[str, _Text] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def _read(name: str, language: str) -> _Layer:
    folder = files("airflow_provider_drivepipe.pipelines.reasoning").joinpath("pack_texts", name)
    return _layer(folder, language, name)


def _layer(folder: Traversable, language: str, shown: str) -> _Layer:
    """Return the file of a folder in one language; what is wrong with it is in its ``problems``."""
    layer = _Layer(f"{shown}/{language}.md")
    try:
        lines = folder.joinpath(f"{language}.md").read_text("utf-8").removeprefix("\ufeff").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else f"cannot be read: {error.strerror}"
        raise PackError([f"{layer.file}: {why}; built-in packs are {', '.join(BUILT_IN)}"]) from error
    headings = [number for number, line in enumerate(lines) if _HEADING.fullmatch(line)]
    for line in lines[: min(headings, default=None)]:
        setting = _SETTING.fullmatch(line)
        if setting:
            setattr(layer, setting[1], setting[2])
    if not layer.version.isdecimal():
        layer.problems.append(f"{layer.file}:1: a line 'version: 1' belongs before the first key")
    for start, end in pairwise([*headings, len(lines)]):
        key = lines[start].removeprefix("## ").strip()
        if key in layer.texts:
            layer.problems.append(f"{layer.file}:{start + 1}: {key} is there twice")
        layer.texts[key] = _Text("\n".join(lines[start + 1 : end]).rstrip(), layer.file, start + 2)
        layer.problems += _marks(layer.texts[key])
    return layer


def _marks(text: _Text) -> Iterator[str]:
    for number, line in enumerate(text.text.splitlines(), text.line):
        what = open_field(line.lstrip(" -*"))
        if what is not None:
            yield f"{text.file}:{number}: still to be filled in: {what}"


class _Composer:
    """Puts prompts together from layers of texts, the first one before the others."""

    def __init__(self, layers: list[_Layer]) -> None:
        self._layers = layers
        shared = (step_of(key) for layer in layers[1:] for key in layer.texts)
        self._names = {*STEPS, *PARTS, *shared}
        self.problems: list[str] = []

    def prompts(self) -> dict[str, Prompt]:
        """Return all prompts by key; whatever cannot be put together is among the problems."""
        for key, text in self._layers[0].texts.items():
            step = step_of(key)
            if step not in self._names or (key != step and step in ONE_MODE):
                self.problems.append(f"{text.file}:{text.line - 1}: there is no key {key}")
            elif not text.text.strip():
                self.problems.append(f"{text.file}:{text.line - 1}: {key} has no text")
        return {key: self._prompt(key) for key in prompt_keys()}

    def _find(self, name: str, mode: str) -> _Text | None:
        """Return the text of a name: from the first layer that has one for the mode, or for any."""
        keys = (f"{name}.{mode}", name)
        found = (layer.texts[key] for layer in self._layers for key in keys if key in layer.texts)
        return next(found, None)

    def _prompt(self, key: str) -> Prompt:
        step = step_of(key)
        text = self._expand(step, key.removeprefix(step).removeprefix("."), STEPS[step], ())
        placed = (match[1] for match in _PLACEHOLDER.finditer(text))
        return Prompt(text, tuple(dict.fromkeys(name for name in placed if name in STEPS[step])))

    def _expand(self, name: str, mode: str, columns: tuple[str, ...], within: tuple[str, ...]) -> str:
        found = self._find(name, mode)
        if found is None:
            other = next((key for each in self._layers for key in each.texts if step_of(key) == name), None)
            wanted = f"{name}{mode and '.'}{mode}, beside {other}," if other else name
            self.problems.append(f"{self._layers[0].file}: {wanted} is missing")
            return ""

        within = (*within, name)

        def put(match: re.Match[str]) -> str:
            inner = match[1]
            if inner in columns:
                return match[0]
            place = found.place(match.start())
            if inner in within:
                self.problems.append(f"{place}: {inner} holds itself")
            elif inner not in STEPS and inner in self._names:
                return self._expand(inner, mode, columns, within)
            else:
                may_hold = ", ".join(f"{{{column}}}" for column in columns)
                self.problems.append(
                    f"{place}: there is no {match[0]} in the prompt {within[0]}; it may hold {may_hold} "
                    "and the texts of the pack"
                )
            return ""

        return _PLACEHOLDER.sub(put, found.text).strip()
