"""What the items of a partition are checked for: flags of single items, and the balance of their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.stages.stage import InputColumn


class Check(StrEnum):
    """What items are checked for. All but ``BALANCE`` flag single items, by this name."""

    BLIND = "blind_answerable"
    DUPLICATE = "duplicate"
    LENGTH = "length"
    LANGUAGE = "language"
    SOURCE = "mentions_source"
    BALANCE = "balance"


FLAGS = tuple(check for check in Check if check is not Check.BALANCE)

CHECKED_COLUMNS: Mapping[Check, tuple[InputColumn, ...]] = {
    Check.BLIND: (
        InputColumn("blind_answerable", True, "whether a model answers the item without the video"),
    ),
    Check.DUPLICATE: (
        InputColumn("question_hash", True, "the same for the same question of one video and task"),
        InputColumn("text_hash", True, "the same for the same question and answer, in any video"),
    ),
    Check.LENGTH: (InputColumn("length_ok", True, "whether question and answer are within their limits"),),
    Check.LANGUAGE: (InputColumn("language_ok", True, "whether the item is in the wanted language"),),
    Check.SOURCE: (InputColumn("mentions_source", True, "whether it speaks of captions, not of the video"),),
    Check.BALANCE: (),
}
"""Columns of the items that a check reads."""

_MARKS: Mapping[Check, tuple[str, bool]] = {
    Check.BLIND: ("blind_answerable", True),
    Check.LENGTH: ("length_ok", False),
    Check.LANGUAGE: ("language_ok", False),
    Check.SOURCE: ("mentions_source", True),
}
"""By check, the column that says it of one item alone, and its value on items that are flagged."""


def flags_of(row: Mapping[str, Any], checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return the flags of an item but for ``DUPLICATE``, which other items decide; NULL flags nothing."""
    marks = ((check, *_MARKS[check]) for check in checks if check in _MARKS)
    return tuple(check for check, column, marked in marks if row[column] == marked)


@dataclass
class Tally:
    """Counts the items of a training set by task, as they go by.

    :param checks: those that are switched on; flags of others are not counted.
    """

    checks: tuple[Check, ...]
    items: Counter[str] = field(default_factory=Counter)
    unflagged: Counter[str] = field(default_factory=Counter)
    flagged: dict[Check, Counter[str]] = field(init=False)
    answers: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flagged = {check: Counter() for check in FLAGS if check in self.checks}

    def add(self, task: str, flags: Sequence[str], choices: Sequence[str] = (), choice: str = "") -> None:
        """Count an item.

        :param choices: what its answer is one of, letters or yes and no; empty for a free answer.
        :param choice: which one it is.
        """
        self.items[task] += 1
        self.unflagged[task] += not flags
        for flag in flags:
            self.flagged[Check(flag)][task] += 1
        if choices and Check.BALANCE in self.checks:
            counts = self.answers.setdefault(task, Counter())
            counts.update({**dict.fromkeys(choices, 0), choice: 1})

    @property
    def share(self) -> float:
        """The share of items without a flag, 0 to 1; 1 where there are no items."""
        return _share(self.unflagged.total(), self.items.total()) if self.items else 1.0

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON-serialisable values, none without checks.

        A flag has its number of items and their share.
        """
        if not self.checks:
            return {}
        tasks = {
            task: {
                "items": items,
                "flags": {
                    str(flag): {"items": counts[task], "share": _share(counts[task], items)}
                    for flag, counts in self.flagged.items()
                },
            }
            for task, items in sorted(self.items.items())
        }
        answers = {task: dict(sorted(counts.items())) for task, counts in sorted(self.answers.items())}
        return {
            "items": self.items.total(),
            "unflagged": self.unflagged.total(),
            "share": self.share,
            "tasks": tasks,
            **({"answers": answers} if Check.BALANCE in self.checks else {}),
        }

    def text(self) -> str:
        """Return the flags with their numbers, by task, for people."""
        said = [
            f"{counts.total()} {flag} ({', '.join(f'{n} {task}' for task, n in counts.most_common())})"
            for flag, counts in self.flagged.items()
            if counts.total()
        ]
        return ", ".join(said) or "no flags"


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4)
