"""Rules by which chosen calls of a model get prepared answers or failures while the server runs.

A rule picks calls by the pictures and videos that they show, or, for calls without any, by their text; this
is the call's *input*. Whatever no rule picks goes to the model's own backend.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from maxcompute_local.models.backend import (
    ChatRequest,
    EmbedRequest,
    ImagePart,
    MediaPart,
    TextPart,
    VideoPart,
)
from maxcompute_local.models.scripted import Request, Step

CALLS = ("chat", "embed", "draw")


_CALL_OF: Mapping[type, str] = {ChatRequest: "chat", EmbedRequest: "embed"}


class RuleError(ValueError):
    """A rule that makes no sense; the text names the field."""


@dataclass(frozen=True)
class ModelRule:
    """Which calls of a model are answered by ``step``. A call must meet every condition that is set.

    A rule without conditions picks every call. A step with nothing but ``delay`` only delays: the model's own
    backend answers then.
    """

    model: str
    """Name of the model; ``*`` and ``?`` are wild cards."""
    call: str | None = None
    """``chat``, ``embed`` or ``draw``; None for all."""
    nth: tuple[int, ...] = ()
    """Numbers of the calls to the model since the rule was added, from 1."""
    fail_first: int | None = None
    """The first so many different inputs since the rule was added, in the order in which they come.

    How many is certain; which ones is not when calls come in parallel. All other conditions but
    ``nth`` are certain.
    """
    images: tuple[str, ...] = ()
    """Any of these texts: a part of a picture's address, or the beginning of the SHA-256 of its bytes."""
    videos: tuple[str, ...] = ()
    """The same of a video."""
    prompts: tuple[str, ...] = ()
    """Any of these texts, as a part of the call's text."""
    rate: float | None = None
    """Share of the inputs, 0 to 1. Whether an input belongs to it depends on ``seed`` and its bytes alone."""
    seed: int = 0
    times: int | None = None
    """How often one input is picked; later calls with it are not. None for ever."""
    step: Step = field(default_factory=Step)

    def __post_init__(self) -> None:
        if not self.model:
            raise RuleError("model: expected a name or a pattern")
        if self.call not in (None, *CALLS):
            raise RuleError(f"call: {self.call!r} is none of {', '.join(CALLS)}")
        if self.rate is not None and not 0 <= self.rate <= 1:
            raise RuleError(f"rate: {self.rate} is not between 0 and 1")
        if self.times is not None and self.times < 1:
            raise RuleError(f"times: {self.times} is not above 0")
        if self.fail_first is not None and self.fail_first < 1:
            raise RuleError(f"fail_first: {self.fail_first} is not above 0")
        if any(number < 1 for number in self.nth):
            raise RuleError("nth: calls are numbered from 1")
        if not 100 <= self.step.status <= 599:
            raise RuleError(f"status: {self.step.status} is not an HTTP status")
        if self.step.delay < 0:
            raise RuleError(f"delay: {self.step.delay} is below 0")

    @classmethod
    def from_json(cls, values: object) -> ModelRule:
        """Build a rule from JSON, with the step's fields beside its own; RuleError for what is wrong."""
        if not isinstance(values, dict):
            raise RuleError("expected an object")
        known = {item.name: item for item in fields(cls) if item.name != "step"}
        unknown = values.keys() - known.keys() - _STEP_FIELDS.keys()
        if unknown:
            names = ", ".join([*known, *_STEP_FIELDS])
            raise RuleError(f"{min(unknown)}: unknown; a rule has {names}")
        for name, value in values.items():
            kinds = _STEP_FIELDS.get(name) or _RULE_FIELDS[name]
            if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
                raise RuleError(f"{name}: not of a type that fits")
        given = {name: value for name, value in values.items() if value is not None}
        if not all(isinstance(number, int) for number in given.get("nth", ())):
            raise RuleError("nth: expected numbers")
        for name in ("images", "videos", "prompts"):
            if not all(isinstance(text, str) and text for text in given.get(name, ())):
                raise RuleError(f"{name}: expected texts")
        step = Step.from_json({name: given[name] for name in given if name in _STEP_FIELDS})
        own: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if name in known
        }
        if "model" not in own:
            raise RuleError("model: missing")
        return cls(**own, step=step)

    def to_json(self) -> dict[str, Any]:
        """Return the rule as ``from_json`` takes it, without what is not set."""
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "step"}
        step = asdict(self.step)
        usual = asdict(Step())
        values = own | {name: step[name] for name in _STEP_FIELDS if step[name] != usual[name]}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value not in (None, ()) and (name, value) != ("seed", 0)
        }


_RULE_FIELDS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "call": (str,),
    "nth": (list, tuple),
    "fail_first": (int,),
    "images": (list, tuple),
    "videos": (list, tuple),
    "prompts": (list, tuple),
    "rate": (int, float),
    "seed": (int,),
    "times": (int,),
}
_STEP_FIELDS: Mapping[str, tuple[type, ...]] = {
    "content": (str, dict),
    "embedding": (list, tuple),
    "status": (int,),
    "code": (str,),
    "message": (str,),
    "body": (str,),
    "delay": (int, float),
    "retry_after": (int,),
}


@dataclass
class _Seen:
    """An input that a rule has seen: the how manieth it was, from 0, and how often it was picked."""

    rank: int
    picked: int = 0


@dataclass
class _Active:
    """A rule and what it has seen since it was added."""

    id: int
    rule: ModelRule
    calls: int = 0
    picked: int = 0
    inputs: dict[str, _Seen] = field(default_factory=dict)


class ModelRules:
    """The rules in force. Those added later are asked first; the first one that picks a call decides."""

    def __init__(self) -> None:
        self._rules: list[_Active] = []
        self._added = 0
        self._lock = threading.Lock()

    def add(self, rule: ModelRule) -> int:
        """Put a rule in force; return its number."""
        with self._lock:
            self._added += 1
            self._rules.insert(0, _Active(self._added, rule))
            return self._added

    def clear(self, model: str | None = None) -> int:
        """Drop all rules, or those whose ``model`` is exactly this; return how many there were."""
        with self._lock:
            kept = [active for active in self._rules if model not in (None, active.rule.model)]
            dropped = len(self._rules) - len(kept)
            self._rules = kept
            return dropped

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules, the one asked first first, with ``id`` and the number of calls ``picked``."""
        with self._lock:
            return [{"id": a.id, "picked": a.picked, **a.rule.to_json()} for a in self._rules]

    def step(self, request: Request) -> Step | None:
        """Return what a call must get; None when its model's own backend is to answer."""
        if not self._rules:
            return None
        call = _CALL_OF.get(type(request), "draw")
        asked = _Input(request)
        picked: Step | None = None
        with self._lock:
            for active in self._rules:
                rule = active.rule
                if not fnmatchcase(request.model, rule.model) or rule.call not in (None, call):
                    continue
                active.calls += 1
                # Every rule numbers all inputs that it sees, also those that another rule answers.
                seen = active.inputs.setdefault(asked.key, _Seen(len(active.inputs)))
                if picked is None and _picks(active, asked, seen):
                    seen.picked += 1
                    active.picked += 1
                    picked = rule.step
        return picked


def _picks(active: _Active, asked: _Input, seen: _Seen) -> bool:
    rule = active.rule
    return (
        (not rule.nth or active.calls in rule.nth)
        and (rule.fail_first is None or seen.rank < rule.fail_first)
        and (not rule.images or asked.shows(ImagePart, rule.images))
        and (not rule.videos or asked.shows(VideoPart, rule.videos))
        and (not rule.prompts or any(text in asked.text for text in rule.prompts))
        and (rule.rate is None or share(rule.seed, asked.key) < rule.rate)
        and (rule.times is None or seen.picked < rule.times)
    )


def share(seed: int, key: str) -> float:
    """Return a number from 0 to below 1 that depends on the arguments alone, evenly spread over keys."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def input_key(request: Request) -> str:
    """Return the SHA-256 of a call's pictures and videos; of its text when it shows none."""
    return _Input(request).key


class _Input:
    """What a call shows."""

    def __init__(self, request: Request) -> None:
        self._media = [part for part in request.parts if isinstance(part, ImagePart | VideoPart)]
        self._digests = [hashlib.sha256(part.data).hexdigest() for part in self._media]
        self.text = "\n".join(part.text for part in request.parts if isinstance(part, TextPart))
        if len(self._digests) == 1:
            self.key = self._digests[0]
        elif self._digests:
            self.key = hashlib.sha256("".join(self._digests).encode()).hexdigest()
        else:
            self.key = hashlib.sha256(self.text.encode()).hexdigest()

    def shows(self, kind: type[MediaPart], texts: tuple[str, ...]) -> bool:
        """Return whether a text is a part of such a part's address or the beginning of its digest."""
        return any(
            isinstance(part, kind) and (text in part.source or digest.startswith(text))
            for text in texts
            for part, digest in zip(self._media, self._digests, strict=True)
        )
