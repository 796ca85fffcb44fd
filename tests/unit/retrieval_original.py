"""What an earlier script for the same task did, as plainly as it can be said: what ours is compared with.

It plans, draws, retrieves by the drawn image, answers, and counts. Models and vectors are scripted.
"""

import json
import re
from dataclasses import dataclass, field

import numpy as np

INITIAL, TOP = 8, 8


@dataclass(frozen=True, eq=False)
class Item:
    """A question, what the models say to it, and the vectors of its video's frames by number."""

    uid: str
    answer: str
    vectors: dict[int, np.ndarray]
    plan: str | None
    drawn: dict[str, np.ndarray | None]
    """By prompt the vector of the drawn image, None where drawing fails."""
    said: str | None


@dataclass
class Outcome:
    shown: list[int] = field(default_factory=list)
    references: list[int] = field(default_factory=list)
    retrieved: list[list[int]] = field(default_factory=list)
    final: list[int] = field(default_factory=list)
    answer: str | None = None
    correct: bool = False
    error: str = ""


def run(item: Item) -> Outcome:
    """An exception anywhere drops the item: only its error is kept."""
    outcome = Outcome()
    try:
        _steps(item, outcome)
    except Exception as error:  # noqa: BLE001  (this is what it does)
        return Outcome(error=f"{type(error).__name__}: {error}")
    return outcome


def metrics(outcomes: list[Outcome]) -> dict[str, float]:
    """Items with an error are not counted at all; the accuracy divides by what was answered."""
    kept = [outcome for outcome in outcomes if not outcome.error]
    answered = sum(outcome.answer is not None for outcome in kept)
    correct = sum(outcome.correct for outcome in kept)
    accuracy = correct / answered if answered else 0.0
    return {"total": len(kept), "answered": answered, "correct": correct, "accuracy": accuracy}


def _steps(item: Item, outcome: Outcome) -> None:
    outcome.shown = initial(sorted(item.vectors))
    plan = fenced(item.plan)
    if not plan or not isinstance(plan, list):
        raise ValueError("no plan")
    for request in plan:
        wanted = request.get("reference_image_id")
        if wanted not in outcome.shown:
            wanted = min(dict.fromkeys(outcome.shown), key=lambda number: abs(number - wanted))
        outcome.references.append(wanted)
        drawn = item.drawn[request["prompt"]]
        outcome.retrieved.append(nearest(item.vectors[wanted] if drawn is None else drawn, item.vectors))
    found = {number for frames in outcome.retrieved for number in frames}
    # Sorted as the paths of files are.
    outcome.final = sorted(found, key=lambda number: f"frame_{number}.jpg")
    answer = fenced(item.said)
    outcome.answer = answer.get("answer", "").strip().upper() if answer else None
    outcome.correct = outcome.answer == item.answer.strip().upper() if outcome.answer else False


def initial(numbers: list[int]) -> list[int]:
    """Evenly spaced frames; of a short video some again and again."""
    return [numbers[int(i * len(numbers) / INITIAL)] for i in range(INITIAL)]


def fenced(text: str | None) -> object:
    """Only what stands between fences that say json is ever looked at."""
    found = re.search(r"```json\s*([\[{].*?[\]}])\s*```", text or "", re.DOTALL)
    if found is None:
        return None
    try:
        return json.loads(found[1])
    except ValueError:
        return None


def nearest(query: np.ndarray, vectors: dict[int, np.ndarray]) -> list[int]:
    """The most similar frames by cosine, best first."""
    cosine = {n: query @ v / (np.linalg.norm(query) * np.linalg.norm(v)) for n, v in vectors.items()}
    return sorted(cosine, key=lambda number: -cosine[number])[:TOP]
