"""Generate: a language model's answer for each row, as text or as a JSON object that fits a schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.stages.answer_schemas import (
    answer_fields,
    check_answer_schema,
    load_answer_schema,
    schema_name,
    schema_text,
)
from airflow_provider_drivepipe.stages.content import Content, Image, Images, Text, TextBy, TextColumn, Video
from airflow_provider_drivepipe.stages.prompts import is_chinese, sha256, state_schema
from airflow_provider_drivepipe.stages.stage import (
    Build,
    InputColumn,
    Part,
    RowStage,
    RunParam,
    Site,
    StageGuide,
)
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, row_part
from airflow_provider_drivepipe.worker.answer_rows import (
    REPAIR_TEXT,
    AnswerJob,
    mark_repairs,
    read_answers,
)
from airflow_provider_drivepipe.worker.reasoning.accounts import lacks_account

_LONGEST_PROMPT = 20_000
_REPORTED = 2000
"""Most characters of a prompt that a report shows."""

CALL_REASONS = (
    Reason.MODEL_ERROR,
    Reason.RATE_LIMITED,
    Reason.CONTENT_BLOCKED,
    Reason.TIMEOUT,
    Reason.EMPTY_RESPONSE,
)
"""Why a call of a model that only reads may bring nothing."""
MODEL_REASONS = (Reason.IMAGE_DECODE_ERROR, *CALL_REASONS)
"""Why a call of a model that sees images may bring nothing."""


@dataclass(frozen=True)
class Variant:
    """What rows are told whose column ``by`` holds a value.

    :param schema: instead of the stage's.
    """

    value: str
    prompt: str
    schema: str | None = None


@dataclass(frozen=True)
class Generate(RowStage):
    """Asks a model about each row.

    :param name: of the stage, and what its columns start with: ``<name>_text`` holds the answer.
    :param prompt: what the model is told. ``{column}`` stands for the row's value where ``columns`` names it;
        any other brace is a brace.
    :param media: what stands before the prompt in the message, in order.
    :param columns: columns of the row that the prompt speaks of; those that it does not place follow it.
    :param schema: name of a built-in schema, or a schema's JSON; the answer must be an object that fits it.
    :param needs: stages whose results the message holds.
    :param prompt_name: for people: ``<name>/<version>`` of a prompt that has both.
    :param max_tokens: longest answer.
    :param repair_rounds: how often the model is asked again for an answer that does not fit the schema.
    :param keep_raw_response: whether ``<name>_response`` keeps the model's raw response.
    :param flat_columns: whether each property of the answer gets a column ``<name>_<property>`` too.
    :param run_param: param of a run that replaces the prompt.
    :param by: column of the input by whose value the prompt is chosen, from ``variants``; ``prompt`` is for
        all other values. Another prompt for a value makes the answers for that value anew, and no others.
    :param must_tell: whether a row fails whose answer only says that nothing can be seen.
    :param texts: what documents say of the stage, instead of general words.
    """

    name: str
    model: str
    prompt: str
    media: tuple[Content, ...] = ()
    columns: tuple[str, ...] = ()
    schema: str | None = None
    needs: tuple[str, ...] = ()
    prompt_name: str = "inline"
    max_tokens: int = 1024
    repair_rounds: int = 1
    keep_raw_response: bool = False
    flat_columns: bool = False
    run_param: str | None = None
    by: str = ""
    variants: tuple[Variant, ...] = ()
    must_tell: bool = False
    texts: StageGuide | None = None

    def __post_init__(self) -> None:
        if self.schema is not None:
            check_answer_schema(self.schema)
        elif self.flat_columns:
            raise ValueError("columns for single properties of an answer need a schema")

    @property
    def prompt_version(self) -> str:
        """The version in the prompt's name, empty when there is none."""
        version = self.prompt_name.rpartition("/")[2]
        return version if re.fullmatch(r"v[0-9]+", version) else ""

    @property
    def message(self) -> tuple[Content, ...]:
        """The whole message, in order: media, prompt, columns that the prompt does not place, schema."""
        if not self.by:
            return (*self.media, *self._pieces(self.prompt))
        texts = (("", self._pieces(self.prompt)), *((v.value, self._of(v)) for v in self.variants))
        return (*self.media, TextBy(self.by, texts))

    def _of(self, variant: Variant) -> tuple[Text | TextColumn, ...]:
        return replace(self, schema=variant.schema or self.schema)._pieces(variant.prompt)

    def _pieces(self, prompt: str) -> tuple[Text | TextColumn, ...]:
        placed = re.compile("|".join(rf"\{{({re.escape(c)})\}}" for c in self.columns) or "(?!)")
        content: list[Text | TextColumn] = []
        start, seen = 0, set()
        for match in placed.finditer(prompt):
            column = match.group(0)[1:-1]
            content += [Text(prompt[start : match.start()]), TextColumn(column)]
            start = match.end()
            seen.add(column)
        content.append(Text(prompt[start:]))
        for column in self.columns:
            if column not in seen and column != self.by:
                content += [Text(f"\n\n{column}:\n"), TextColumn(column)]
        if self.schema:
            stated = state_schema(self.schema, self.in_chinese)
            last = content[-1]
            if isinstance(last, Text):
                content[-1] = Text(f"{last.text.rstrip()}\n\n{stated}")
            else:
                content.append(Text(f"\n\n{stated}"))
        return tuple(each for each in content if not isinstance(each, Text) or each.text)

    @property
    def whole_prompt(self) -> str:
        """What the model is told with each row, columns by name in braces; prompts by value one by one."""
        told = [_whole(self._pieces(self.prompt)), *(_whole(self._of(variant)) for variant in self.variants)]
        return "\n\n".join(text for text in told if text)

    @property
    def in_chinese(self) -> bool:
        """Whether the prompt is written in Chinese, so that repairs are too."""
        return is_chinese(self.prompt or "".join(variant.prompt for variant in self.variants))

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Columns with OSS URIs that the model service fetches."""
        return tuple(
            each.column
            for each in self.media
            if isinstance(each, Video) or (isinstance(each, Image) and not each.inline)
        )

    @property
    def images(self) -> Images | None:
        """Any number of images that the message shows, None where all rows show the same number."""
        return next((each for each in self.media if isinstance(each, Images)), None)

    @property
    def fetches(self) -> bool:
        """Whether the model service fetches anything with the connection's key pair."""
        return bool(self.image_columns or self.images)

    @property
    def grouped_by(self) -> str:
        """Column that holds how many images a row shows, empty where all show the same number."""
        return self.images.number if self.images else ""

    @property
    def rounds(self) -> int:
        """How often the model is asked again at most; without a schema there is nothing to repair."""
        return self.repair_rounds if self.has_schema else 0

    @property
    def has_schema(self) -> bool:
        """Whether answers have to fit a schema."""
        return bool(self.schema or any(variant.schema for variant in self.variants))

    def part(self) -> Part:
        """Return what it adds to a row."""
        name = self.name
        columns = [Column(f"{name}_text", "string", self._text_comment)]
        if self.has_schema:
            comment = f"whether {name}_text parses and fits the {name} schema"
            columns.append(Column(f"{name}_json_valid", "boolean", comment))
        columns += [
            Column(f"{name}_input_token", "bigint", "prompt tokens, 0 where the response has none"),
            Column(f"{name}_output_token", "bigint", "completion tokens, 0 where the response has none"),
        ]
        if self.has_schema:
            comment = f"how many values of the {name} were put right, NULL without one"
            columns.append(Column(f"{name}_normalised", "bigint", comment))
        if self.keep_raw_response:
            columns.append(Column(f"{name}_response", "string", "the model's raw response"))
        columns += [
            Column(f.column, f.type, f"{f.property} of the {name}, NULL where it failed") for f in self.fields
        ]
        shown = (self.images.column, self.images.number) if self.images else ()
        return Part(
            stage=name,
            columns=tuple(columns),
            result=f"{name}_text",
            tokens={f"{name}_input_token": "input", f"{name}_output_token": "output"},
            needs=self.needs,
            calls=1 + self.rounds,
            reads=tuple(dict.fromkeys([*self.columns, *([self.by] if self.by else []), *shown])),
            sums=(f"{name}_normalised",) if self.has_schema else (),
            by=self.by,
            hashes_by={v.value: sha256(_whole(self._of(v)))[:16] for v in self.variants},
        )

    @property
    def _text_comment(self) -> str:
        return f"the model's answer, a JSON object when a {self.name} schema is set"

    @property
    def fields(self) -> tuple[Any, ...]:
        """The properties that get a column of their own; none unless asked for."""
        return answer_fields(self.schema, self.name) if self.flat_columns and self.schema else ()

    def content(self, site: Site) -> Mapping[str, object]:
        """Return model, message, schema and limits.

        The prompt counts as it is sent, with its version; where prompt and schema came from does not count.
        Nor does how often a model is asked again: rows that are ok would be the same.
        """
        return {
            "model": self.model,
            "model_project": site.model_project(),
            "prompt": _whole(self._pieces(self.prompt)),
            "prompt_version": self.prompt_version,
            "media": [repr(each) for each in self.media],
            "schema": schema_text(self.schema) if self.schema else None,
            "max_tokens": self.max_tokens,
            "keep_raw_response": self.keep_raw_response,
            "flat_columns": self.flat_columns,
        }

    def facts(self) -> dict[str, str]:
        """Return which prompt and schema, and how long answers may be."""
        schema = schema_name(self.schema) if self.schema else "none, free text"
        return {
            "prompt": self.prompt_name,
            "schema": "of its own" if schema == "inline" else schema,
            "answers": f"of at most {self.max_tokens} tokens",
        }

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with the answers, and what they make of the status of each row.

        All rows are asked about, and once more for each repair that they need. They come back in another
        order.
        """
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.stages import model_calls as calls

        images = self.images
        if images is None:
            return self._asked(rows, build, self.message)
        answered = []
        for number in build.groups[self.name]:
            of_group = rows[rows[images.number].fillna("0") == number]
            group, shown = calls.with_images(of_group, images, int(number))
            parts = (shown if each is images else (each,) for each in self.message)
            asked = self._asked(group, build, [part for each in parts for part in each])
            answered.append(asked[list(rows.dtypes.index)])
        if not answered:
            return rows
        return md.concat(answered) if len(answered) > 1 else answered[0]

    def _asked(self, rows: Any, build: Build, said: Sequence[Content]) -> Any:
        """Return lazy ``rows`` with the answers to one message."""
        from airflow_provider_drivepipe.stages import model_calls as calls

        dtypes = dict(rows.dtypes)
        job, access = self.job(build), calls.access_of(self, build)
        message = calls.with_own_columns(said)

        def check_answers(chunk: Any) -> Any:
            return read_answers(chunk, job, tuple(dtypes))

        def ask_again(asked: Any) -> Any:
            # What a model answered comes as a column, so that it stays text.
            again = (*message.content, TextColumn(REPAIR_TEXT))
            return calls.ask(asked, self.model, again, self.max_tokens, access)

        def find_answers_to_repair(number: int) -> Callable[[Any], Any]:
            return lambda chunk: mark_repairs(chunk, job, number)

        rows = calls.with_texts(rows, message)
        rows = calls.with_answers(rows, calls.ask(rows, self.model, message.content, self.max_tokens, access))
        for number in range(1, 1 + self.rounds):
            rows = calls.ask_some(rows, find_answers_to_repair(number), ask_again, REPAIR_TEXT, number)
        return apply_chunk(rows, check_answers, dtypes)

    def job(self, build: Build) -> AnswerJob:
        """Return what workers need to know."""
        sees = {Image: "picture", Images: "picture", Video: "video"}
        return AnswerJob(
            part=row_part(self.part(), build.flags_behind),
            schema=load_answer_schema(self.schema) if self.schema else None,
            repair_rounds=self.rounds,
            chinese=self.in_chinese,
            sees=next((sees[type(each)] for each in self.media if type(each) in sees), ""),
            by=self.by,
            lacks=lacks_account if self.must_tell else None,
            schemas={v.value: load_answer_schema(v.schema) for v in self.variants if v.schema},
            fields=tuple((field.property, field.column, field.type) for field in self.fields),
        )

    def param(self) -> RunParam | None:
        """Return the param that replaces the prompt."""
        if self.run_param is None:
            return None
        return RunParam(self.run_param, f"Prompt ({self.name})", multiline=True)

    def with_param(self, value: object) -> Generate:
        """Return the stage with another prompt; raise ValueError for what is no prompt."""
        if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_PROMPT:
            raise ValueError(f"a text of at most {_LONGEST_PROMPT} characters")
        return replace(self, prompt=value, prompt_name=f"param:{self.run_param}")

    def report(self) -> dict[str, Any]:
        """Return for reports with what rows were asked.

        ``name`` and ``version`` of the prompt, the beginning of its ``text``, ``sha256`` of all that is sent;
        ``schema`` (a name) and ``schema_sha256``, both None without one. Hashes are 64 hex digits.
        """
        return {
            "name": self.prompt_name,
            "version": self.prompt_version,
            "text": self.prompt[:_REPORTED],
            "sha256": sha256(self.whole_prompt),
            "schema": schema_name(self.schema) if self.schema else None,
            "schema_sha256": sha256(schema_text(self.schema)) if self.schema else None,
        }

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        if self.texts is not None:
            return self.texts
        kind = "vision-language" if self.media else "language"
        answers = (Reason.REFUSAL, *((Reason.INVALID_JSON, Reason.SCHEMA_VIOLATION) if self.schema else ()))
        answers += (Reason.NOT_VISIBLE,) if self.must_tell else ()
        reads = (*self.image_columns, *self.columns)
        calls = MODEL_REASONS if self.media else CALL_REASONS
        changed = f" So does a new {' or '.join(self.columns)} for its row." if self.columns else ""
        made_from = (f"A row whose {needed} failed is not sent. " for needed in self.needs)
        return StageGuide(
            does=f"asks a {kind} model for the {self.name} of each row",
            unit="row",
            gives=f"rows with a {self.name}",
            reads=tuple(InputColumn(column, True, "what the model is told") for column in reads),
            fails=(
                f"{''.join(made_from)}The row keeps the model's answer in `{self.name}_text` where there is "
                "one, and all results that other stages brought."
            ),
            reasons=(*calls, *answers),
            again=(
                f"The model is asked, and paid, only for rows that have no good {self.name}. Another model, "
                f"prompt or schema makes every {self.name} again.{changed}"
            ),
        )


def _whole(pieces: tuple[Text | TextColumn, ...]) -> str:
    return "".join(p.text if isinstance(p, Text) else f"{{{p.column}}}" for p in pieces)
