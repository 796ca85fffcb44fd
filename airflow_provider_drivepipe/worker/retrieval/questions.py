"""Questions about videos: whether they can be asked, and which frames a model sees first.

Runs in DPE workers: standard library and pandas only. Nothing is paid here, so what would make a paid call
pointless is refused here: a question that cannot be right, a video without frames, vectors of another model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.label_parse import encodable
from airflow_provider_drivepipe.worker.paths import key_below_root
from airflow_provider_drivepipe.worker.retrieval.choices import (
    LETTERS,
    ChoiceError,
    chosen_letter,
    options_in,
    read_options,
)
from airflow_provider_drivepipe.worker.retrieval.frames import Frame, lines_of, listed_frames, spread
from airflow_provider_drivepipe.worker.rows import OK_CELLS, expanded, failed_cells, text_of, unit_dtypes

STAGE = "question_check"
QUESTION_COLUMNS: tuple[Column, ...] = (
    Column("question_id", "string", "identity of the question, as the input has it"),
    Column("question", "string", "the question, without options"),
    Column("options", "string", "JSON object of letters and texts, empty for an open question"),
    Column("options_text", "string", "the options as models read them, a line each"),
    Column(
        "answer", "string", "letter of the right option, the text of an open question, NULL where unknown"
    ),
    Column("category", "string", "what the question is about, as the input has it"),
    Column("evidence_start_ms", "bigint", "start of where the video shows the answer, NULL where unknown"),
    Column("evidence_end_ms", "bigint", "its end"),
    Column("frames_count", "bigint", "frames of the video that have a vector"),
    Column("frames_version", "string", "changes when one of these frames does"),
    Column("initial_frames", "string", "a line for each frame shown first: number and time, tab, OSS URI"),
    Column("initial_count", "string", "how many these are"),
)
_SHOWN = 100


@dataclass(frozen=True)
class QuestionJob:
    """What one call of :func:`check_questions` makes.

    :param lineage: columns of the input that travel through, none of those that it makes.
    :param image_roots: full OSS URIs below which images may be.
    :param initial_frames: how many frames are shown first, at most.
    :param dimension: floats that a query's vector will have; None where only the model knows.
    :param models: hashes that fingerprints of frames have whose vectors are of the queries' model.
    :param language: en or zh, of the words before images.
    """

    lineage: tuple[str, ...]
    image_roots: tuple[str, ...]
    initial_frames: int = 8
    dimension: int | None = None
    models: tuple[str, ...] = ()
    language: str = "en"


class _Unusable(Exception):
    """Why a question cannot be asked."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class _Checker:
    """Checks questions; what is known of a video's frames is kept for its other questions."""

    job: QuestionJob
    videos: dict[str, tuple[list[Frame], _Unusable | None]] = field(default_factory=dict)

    def row(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the one row of a question."""
        cells: dict[str, Any] = {
            "question_id": text_of(row["question_id"]) or None,
            "question": text_of(row["question"]).strip(),
            "category": text_of(row.get("category")).strip() or None,
            "frames_version": text_of(row.get("frames_version")) or None,
        }
        try:
            cells |= _asked(row)
            cells |= self._seen(row)
        except _Unusable as error:
            message = encodable(" ".join(str(error).split()))
            return [{**cells, **failed_cells(STAGE, error.reason, message)}]
        return [{**cells, **OK_CELLS}]

    def _seen(self, row: Mapping[str, Any]) -> dict[str, Any]:
        listed = text_of(row["frames_listed"])
        frames, problem = self.videos.get(listed) or self._frames(listed)
        self.videos[listed] = frames, problem
        if not frames and problem is None:
            raise _Unusable(
                Reason.NO_FRAMES,
                "the table of frames has no ok frame of this video with an embedding; embed its frames, or "
                "correct the question's video",
            )
        _check_vectors(row, self.job)
        if problem is not None:
            raise problem
        first = [frames[place] for place in spread(len(frames), self.job.initial_frames)]
        return {
            "frames_count": len(frames),
            "initial_frames": lines_of(first, self.job.language),
            "initial_count": str(len(first)),
        }

    def _frames(self, listed: str) -> tuple[list[Frame], _Unusable | None]:
        try:
            frames = listed_frames(listed)
        except ValueError:
            return [], _Unusable(Reason.PATH_TRAVERSAL, "the image_url of a frame holds a line break")
        for frame in frames:
            problem = _outside(frame, self.job.image_roots)
            if problem is not None:
                return frames, problem
        return frames, None


def check_questions(rows: Any, job: QuestionJob) -> Any:
    """Return a row of each question of ``rows``, a pandas DataFrame, with its first frames.

    Read are ``question_id`` and ``question``, ``options`` (JSON: a list of texts, or an object of letters and
    texts) or ``option_a`` …, ``answer``, ``category``, ``evidence_start_ms`` and ``evidence_end_ms`` where
    they are there, and of the video ``frames_listed`` (a line ``frame_idx|frame_time_ms|image_url`` for each
    frame), ``frames_version``, ``frames_dimensions`` and ``frames_models`` (values separated by commas).
    Without both kinds of options, lines ``A. …``, ``B. …`` at the end of the question are its options.

    A question fails with

    - ``invalid_question``: no id, no text, options that are fewer than two, equal or unreadable, an answer
      that is none of them, evidence that is half there, negative, or ends before it starts;
    - ``no_frames``: its video has none with an embedding;
    - ``dimension_mismatch``, ``model_mismatch``: their vectors are of other lengths than a query's, or made
      otherwise; fingerprints that name no model are not judged;
    - ``path_outside_root``, ``path_traversal``: an image is below none of the roots.

    Raises KeyError for an input without one of the columns.
    """
    return expanded(rows, _Checker(job).row, QUESTION_COLUMNS, job.lineage)


def question_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`check_questions` gives, from those of lineage."""
    return unit_dtypes(QUESTION_COLUMNS, lineage_dtypes)


def _asked(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return question, options, answer and evidence; raise for what cannot be asked."""
    question = encodable(text_of(row["question"])).strip()
    if not text_of(row["question_id"]).strip():
        raise _invalid("there is no question_id; give each question one of its own")
    if not question:
        raise _invalid("there is no text in question; fill it in, or leave the row out")
    try:
        options, names = _options(row)
    except ChoiceError as error:
        raise _invalid(
            f"{error}; write options as a JSON list of texts or a JSON object of letters and texts"
        ) from error
    if not options:
        question, options = options_in(question)
        if not question:
            raise _invalid("the question is nothing but options; put the question before them")
    return {
        "question": question,
        "options": json.dumps(options, ensure_ascii=False, separators=(",", ":")) if options else "",
        "options_text": "\n".join(f"{letter}. {text}" for letter, text in options.items()),
        "answer": _answer(encodable(text_of(row.get("answer"))).strip(), options, names),
        **_evidence(row),
    }


def _options(row: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    given = text_of(row.get("options")).strip()
    if given not in ("", "null"):
        return read_options(given)
    single = {letter: text_of(row.get(f"option_{letter.lower()}")).strip() for letter in LETTERS}
    return read_options({letter: text for letter, text in single.items() if text})


def _answer(said: str, options: Mapping[str, str], names: Mapping[str, str]) -> str | None:
    if not said or not options:
        return said or None
    letter = chosen_letter(said, options, names)
    if letter not in options:
        raise _invalid(
            f"the answer {said[:_SHOWN]!r} is none of the options {', '.join(options)}; write the letter of "
            "the right one, or its whole text"
        )
    return letter


def _evidence(row: Mapping[str, Any]) -> dict[str, int | None]:
    start, end = (_milliseconds(row, name) for name in ("evidence_start_ms", "evidence_end_ms"))
    if (start is None) != (end is None):
        raise _invalid("only one of evidence_start_ms and evidence_end_ms is there; give both or none")
    if start is not None and end is not None and end < start:
        raise _invalid(f"the evidence ends at {end} ms, before it starts at {start} ms; correct the two")
    return {"evidence_start_ms": start, "evidence_end_ms": end}


def _milliseconds(row: Mapping[str, Any], name: str) -> int | None:
    text = text_of(row.get(name)).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < 2**53 or number != int(number):
        raise _invalid(f"{name} is {text[:_SHOWN]!r}; write whole milliseconds from 0")
    return int(number)


def _check_vectors(row: Mapping[str, Any], job: QuestionJob) -> None:
    lengths = sorted({int(length) for length in _values(row.get("frames_dimensions"))})
    if len(lengths) > 1 or (job.dimension is not None and lengths not in ([], [job.dimension])):
        wanted = "one length" if job.dimension is None else f"{job.dimension} as queries have"
        raise _Unusable(
            Reason.DIMENSION_MISMATCH,
            f"the vectors of the video's frames have {', '.join(map(str, lengths))} floats, not {wanted}; "
            "set embedding_dim to that of the frames, or embed the frames again",
        )
    models = set(_values(row.get("frames_models")))
    if job.models and not models <= set(job.models):
        raise _Unusable(
            Reason.MODEL_MISMATCH,
            "the video's frames were not embedded with the model and the dimension that queries are: set "
            "embedding_model and embedding_dim as for the frames, or embed these again",
        )


def _values(cell: Any) -> list[str]:
    return [value.strip() for value in text_of(cell).split(",") if value.strip()]


def _outside(frame: Frame, roots: tuple[str, ...]) -> _Unusable | None:
    """Return what is wrong with the place of a frame's image, if anything."""
    problem = None
    for root in roots:
        try:
            key_below_root(frame.url, root, f"image_url of frame {frame.index}")
        except VideoError as error:
            # That a path climbs is worth more than that it is not below another root.
            if problem is None or error.reason != Reason.PATH_OUTSIDE_ROOT:
                problem = error
        else:
            return None
    if problem is None:
        return _Unusable(
            Reason.PATH_OUTSIDE_ROOT, "no root of images is declared; set oss_bucket or oss_root"
        )
    return _Unusable(
        problem.reason, f"{problem}; read frames that lie in the connection's OSS, below {', '.join(roots)}"
    )


def _invalid(message: str) -> _Unusable:
    return _Unusable(Reason.INVALID_QUESTION, message)
