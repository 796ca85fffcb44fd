"""What the stages of this family need to know, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Arm(StrEnum):
    """A way to choose the frames from which a question is answered."""

    BLIND = "blind"
    """No frame: what the question alone gives away."""
    UNIFORM = "uniform"
    """Frames that are evenly spaced over the video."""
    TEXT = "text"
    """Frames like the question's text."""
    PLANNED_TEXT = "planned_text"
    """Frames like what a model says that it would need to see."""
    PLANNED_IMAGE = "planned_image"
    """Frames like pictures that are drawn of what a model says that it would need to see."""
    FUSED = "fused"
    """Frames that stand high in the rankings of all queries, by reciprocal rank."""
    COVERAGE = "coverage"
    """Frames like the question's text, from all parts of the video."""
    ORACLE = "oracle"
    """Frames from the time that is annotated as the evidence: the most that choosing can bring."""


class QueryKind(StrEnum):
    """What frames are compared with."""

    TEXT = "text"
    """The question's text."""
    PLANNED_TEXT = "planned_text"
    """The text of a frame that a model would need to see."""
    PLANNED_IMAGE = "planned_image"
    """A picture that is drawn of it."""


QUERIES: Mapping[Arm, tuple[QueryKind, ...]] = {
    Arm.TEXT: (QueryKind.TEXT,),
    Arm.PLANNED_TEXT: (QueryKind.PLANNED_TEXT,),
    Arm.PLANNED_IMAGE: (QueryKind.PLANNED_IMAGE,),
    Arm.COVERAGE: (QueryKind.TEXT,),
}
"""What each arm compares frames with; ``fused`` takes all that other arms have, and the question's text."""


def query_kinds(arms: tuple[Arm, ...]) -> tuple[QueryKind, ...]:
    """Return the kinds of queries that some arms need, in order."""
    needed = {kind for arm in arms for kind in QUERIES.get(arm, ())}
    if Arm.FUSED in arms:
        needed.add(QueryKind.TEXT)
    return tuple(kind for kind in QueryKind if kind in needed)


@dataclass(frozen=True)
class FramesTable:
    """Where the frames are, and how they were embedded.

    :param table: with ``image_embedding``, as a scenario of ours writes it.
    :param key: column of questions and frames that says which video it is.
    :param partition: values of its partition columns where it is not the questions' own partition.
    :param model: the model whose vectors are compared.
    :param dimension: length of its vectors, None where the model decides.
    """

    table: str
    key: str
    model: str
    dimension: int | None = None
    partition: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class RetrievalOptions:
    """How frames are chosen.

    :param arms: ways to choose, side by side.
    :param top_k: frames that are chosen: for each query, and by arms without queries.
    :param max_frames: most frames that a model sees to answer a question.
    :param min_gap_ms: frames nearer in time to a better one than that are passed over.
    """

    arms: tuple[Arm, ...]
    top_k: int = 8
    max_frames: int = 16
    min_gap_ms: int = 0


@dataclass(frozen=True)
class DrawOptions:
    """How pictures are drawn of what a model would need to see.

    :param conn_id: Airflow connection of type ``http`` to an endpoint in the style of OpenAI's images API.
    :param model: image model that it has.
    :param size: of pictures, in pixels.
    """

    conn_id: str
    model: str
    size: str = "1024x1024"
