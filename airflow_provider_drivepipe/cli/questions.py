"""The questions of ``drivepipe init``, in the order in which a person thinks of a scenario.

Each answer is checked at once, and may be left for later.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_drivepipe.documents.drafting import (
    Draft,
    can_split,
    conventional,
    input_shapes,
    missing_keys,
    possible_targets,
    problems,
    read_answer,
    with_needed_targets,
)
from airflow_provider_drivepipe.pipelines.driving.guide import INPUT_SHAPES, TARGETS
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario, InputShape, Target

_WIDTH = 80
_WHERE_TO = ("scenario_name", "video_input_table", "output_table", "output_tables")
"""What can be named when it is known what is made."""


class Interview:
    """Asks a person for what a draft lacks.

    :param draft: what is known already.
    :param defaults: what need not be asked, because it lies underneath the file.
    :param ask: shows a prompt and returns the line that was typed; raises EOFError at the end of the input.
    """

    def __init__(self, draft: Draft, defaults: Draft, ask: Callable[[str], str] = input) -> None:
        self._draft = dict(draft)
        self._defaults = defaults
        self._ask = ask
        self._left = {"input_shape", "targets"}
        """Keys that are not asked again: answered, or left for later."""

    def run(self) -> dict[str, Any]:
        """Return the draft with the answers; what was left for later is not in it.

        Raises EOFError when the input ends before the last question.
        """
        self._questions()
        return self._draft

    @property
    def _known(self) -> dict[str, Any]:
        return {**self._defaults, **self._draft}

    def _questions(self) -> None:
        print(
            "Enter alone takes what is in [brackets], or leaves the field for later. Ctrl-C: write nothing."
        )
        self._where()
        self._what()
        self._where_to()

    def _where(self) -> None:
        print("\nWhere are the videos, clips or images?")
        if "input_shape" not in self._known:
            shapes = input_shapes()
            self._choice("input_shape", shapes, [INPUT_SHAPES[shape] for shape in shapes])
        if "input_shape" not in self._known:
            return
        for key in ("source_table", "oss_bucket"):
            if key in missing_keys(self._known):
                self._question(key)
        if self._known["input_shape"] == InputShape.OSS_PREFIX and "oss_prefix" not in self._known:
            self._question("oss_prefix", note="Enter: the whole bucket.")

    def _what(self) -> None:
        if "input_shape" not in self._known:
            return
        print("\nWhat do you want of them?")
        if "targets" not in self._known:
            self._targets(str(self._known["input_shape"]))
        # What is left of where they are, since it depends on the targets, and the models.
        self._missing(lambda key: key not in _WHERE_TO)

    def _where_to(self) -> None:
        print("\nWhere shall it go?")
        if "scenario_name" not in self._known:
            self._question("scenario_name")
        if {"input_shape", "targets"} <= self._known.keys():
            self._split()
            self._missing(lambda _: True)

    def _missing(self, is_asked: Callable[[str], bool]) -> None:
        """Ask once for every key that is missing; an answer may make others needed."""
        while left := [k for k in missing_keys(self._known) if k not in self._left and is_asked(k)]:
            self._question(left[0], conventional(self._known).get(left[0]))

    def _targets(self, shape: str) -> None:
        offered = {target for targets in possible_targets(shape) for target in targets}
        choices = [str(target) for target in Target if target in offered]
        self._explain("targets", choices, [TARGETS[target] for target in choices])
        print("Several with commas, as in 1,3; what they need is added.")

        def read(answer: str) -> list[str]:
            named = [part.strip() for part in answer.split(",") if part.strip()]
            given = [_choice_of(part, choices) for part in named]
            unknown = [target for target in given if target not in choices]
            if unknown or not given:
                raise ValueError(f"{', '.join(unknown) or answer}: none of these")
            whole = list(with_needed_targets(shape, given))
            if set(whole) != set(given):
                print(_wrapped(f"with what it needs: {', '.join(whole)}", 2, first=2))
            return whole

        self._take("targets", None, read)

    def _split(self) -> None:
        keys = ("split_video", "need_intermediate_table", "output_tables")
        if not can_split(self._known) or any(key in self._known for key in keys):
            return
        meanings = [
            "one job, one table; a retry pays only for what is missing (single job)",
            "a table of images in between, for others, for audits, for retries of models alone (split-video)",
        ]
        self._choice("split_video", ["no", "yes"], meanings, default="no")
        if self._draft.get("split_video") is False:
            del self._draft["split_video"]

    def _question(self, key: str, default: str | None = None, note: str = "") -> None:
        shown = DrivingScenario.uses()[key].example
        example = f" For example {shown}." if shown and default is None else ""
        print()
        print(_wrapped(f"{key}: {_meaning(key)}.{example} {note}".rstrip()))
        self._left.add(key)
        self._take(key, default)

    def _choice(
        self, key: str, choices: Sequence[str], meanings: Sequence[str], default: str | None = None
    ) -> None:
        self._explain(key, choices, meanings)
        self._take(key, default, lambda answer: read_answer(key, _choice_of(answer, choices)))

    def _explain(self, key: str, choices: Sequence[str], meanings: Sequence[str]) -> None:
        print()
        print(_wrapped(f"{key}: {_meaning(key)}."))
        for number, (choice, meaning) in enumerate(zip(choices, meanings, strict=True), start=1):
            print(_wrapped(f"{number:>3}  {choice}", 5))
            print(_wrapped(meaning, 7, first=7))

    def _take(self, key: str, default: str | None, read: Callable[[str], Any] | None = None) -> None:
        """Ask until the answer fits, or there is none; ``read`` raises ValueError for one that does not."""
        shown = f"[{default}] " if default else ""
        while answer := self._ask(f"{key} {shown}> ").strip() or default:
            try:
                wrong = self._try(key, read(answer) if read else read_answer(key, answer))
            except ValueError as error:
                wrong = [str(error)]
            if not wrong:
                return
            for text in wrong:
                print(_wrapped(text, 2, first=2))

    def _try(self, key: str, value: Any) -> list[str]:
        """Take a value, unless that makes something wrong; return what."""
        before = problems(self._known)
        wrong = [
            message if about == key else f"{about}: {message}"
            for about, message in problems({**self._known, key: value})
            if (about, message) not in before
        ]
        if not wrong:
            self._draft[key] = value
        return wrong


def _meaning(key: str) -> str:
    return str(DrivingScenario.model_fields[key].description)


def _choice_of(answer: str, choices: Sequence[str]) -> str:
    """Return the choice of a number, or the answer as it is."""
    if not answer.isdecimal():
        return answer
    if not 1 <= int(answer) <= len(choices):
        raise ValueError(f"a number from 1 to {len(choices)}, or the word beside it")
    return choices[int(answer) - 1]


def _wrapped(text: str, indent: int = 0, first: int = 0) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=" " * first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
