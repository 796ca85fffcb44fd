"""What people need to know of each stage and input shape, as text: one entry each, used by all documents."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import Reason, Stage


@dataclass(frozen=True)
class InputColumn:
    """A column that a stage reads from its task's input table."""

    name: str
    needed: bool
    meaning: str


@dataclass(frozen=True)
class StageGuide:
    """One stage, explained.

    :param does: what it does, one sentence.
    :param unit: what it works on, one at a time.
    :param reads: columns of the input table, when the stage is the first of its task.
    :param fails: what becomes of a unit that fails.
    :param reasons: the ``error_type`` of such units.
    :param again: what a retry, a Clear or a second run does again, and pays again.
    """

    does: str
    unit: str
    reads: tuple[InputColumn, ...]
    fails: str
    reasons: tuple[Reason, ...]
    again: str


_IMAGE_INPUT = (
    InputColumn("image_url", True, "full OSS URI of the image, `oss://<endpoint>/<bucket>/<key>`"),
    InputColumn("image_id", False, "name of the image; with `image_url` it tells rows apart"),
    InputColumn("video_path", False, "where the image comes from; with `frame_idx` it tells rows apart"),
    InputColumn("clip_id", False, "the same for images of clips, with `clip_dir`"),
    InputColumn("frame_idx", False, "number of the image within its video"),
    InputColumn("status", False, "with the other status columns: rows that are not `ok` pass by unchanged"),
)
_PATH_REASONS = (
    Reason.PATH_OUTSIDE_ROOT,
    Reason.PATH_TRAVERSAL,
    Reason.NOT_FOUND,
    Reason.ACCESS_DENIED,
    Reason.EMPTY_FILE,
)
_MODEL_REASONS = (
    Reason.IMAGE_DECODE_ERROR,
    Reason.MODEL_ERROR,
    Reason.RATE_LIMITED,
    Reason.CONTENT_BLOCKED,
    Reason.TIMEOUT,
    Reason.EMPTY_RESPONSE,
)

UNREADABLE_KEYFRAME = (
    Reason.IMAGE_DECODE_ERROR,
    Reason.IMAGE_TOO_LARGE,
    Reason.EMPTY_FILE,
    Reason.NOT_FOUND,
    Reason.ACCESS_DENIED,
    Reason.TIMEOUT,
)
"""Why a keyframe fails alone, where keyframes are measured."""

STAGES: dict[Stage, StageGuide] = {
    Stage.MANIFEST: StageGuide(
        does="lists the objects below a prefix of the bucket and writes one row per video",
        unit="object",
        reads=(),
        fails=(
            "A video of zero bytes is left out and counted as `failed`; folder markers and objects with "
            "another extension are left out and counted as `filtered`. The counts are in the report, the "
            "names in the log."
        ),
        reasons=(Reason.EMPTY_FILE,),
        again="The listing is made again and replaces the partition. No model is called.",
    ),
    Stage.FRAME_EXTRACTION: StageGuide(
        does="cuts each video into JPEGs in OSS and gives one row per frame",
        unit="video",
        reads=(
            InputColumn("video_path", True, "full OSS URI of the video, `oss://<endpoint>/<bucket>/<key>`"),
            InputColumn(
                "etag", False, "tells a video that changed under its name; without it only the path counts"
            ),
        ),
        fails=(
            "A video that fails has one row with `frame_idx` -1 and all columns of its input row. No frame "
            "of it is kept, and no model is called for it."
        ),
        reasons=(
            *_PATH_REASONS,
            Reason.NOT_A_VIDEO,
            Reason.NO_VIDEO_STREAM,
            Reason.TRUNCATED,
            Reason.DECODE_ERROR,
            Reason.INVALID_DURATION,
            Reason.NO_FRAMES,
            Reason.TIMEOUT,
            Reason.WRITE_ERROR,
        ),
        again=(
            "Videos that are new, that changed or that failed are cut again, and what comes out of them goes "
            "through the models. Videos that are `ok` are neither read nor paid again."
        ),
    ),
    Stage.KEYFRAME_EXPANSION: StageGuide(
        does="lists the images of each clip's directory and gives one row per keyframe",
        unit="clip",
        reads=(
            InputColumn("clip_id", True, "identity of the clip"),
            InputColumn(
                "clip_dir", True, "directory of its images: a full OSS URI, or a path below the OSS root"
            ),
            InputColumn("start_ms", False, "start of the time range in milliseconds, included"),
            InputColumn("end_ms", False, "end of the time range in milliseconds, not included"),
        ),
        fails=(
            "A clip that fails has one row with `frame_idx` -1 and all columns of its input row; no model is "
            "called for it."
        ),
        reasons=(
            *_PATH_REASONS,
            Reason.NO_CLIP_ID,
            Reason.NO_FRAMES,
            Reason.INVALID_TIMESTAMPS,
            Reason.NO_TIMESTAMPS,
            Reason.INVALID_TIME_RANGE,
            Reason.TOO_MANY_FILES,
            Reason.TIMEOUT,
        ),
        again="Clips that are new, that changed or that failed are listed again; the others are left alone.",
    ),
    Stage.IMAGE_PREPARATION: StageGuide(
        does="decodes, turns, resizes and measures each image",
        unit="image",
        reads=(
            *_IMAGE_INPUT,
            InputColumn(
                "etag", False, "tells an image that changed under its URL; without it only that counts"
            ),
        ),
        fails="An image that fails keeps its row without features; no model is called for it.",
        reasons=(
            *_PATH_REASONS,
            Reason.IMAGE_DECODE_ERROR,
            Reason.IMAGE_TOO_LARGE,
            Reason.TIMEOUT,
            Reason.WRITE_ERROR,
        ),
        again="Images that are new, that changed or that failed are prepared again.",
    ),
    Stage.LABEL: StageGuide(
        does="asks a vision-language model for the label of each image",
        unit="image",
        reads=_IMAGE_INPUT,
        fails=(
            "The row keeps the model's answer in `label_text` where there is one, and its embedding where "
            "that worked: a paid result is never thrown away."
        ),
        reasons=(*_MODEL_REASONS, Reason.REFUSAL, Reason.INVALID_JSON, Reason.SCHEMA_VIOLATION),
        again=(
            "The model is asked, and paid, only for rows that have no good label. Another model, prompt or "
            "label schema makes all labels again; images and embeddings stay."
        ),
    ),
    Stage.IMAGE_EMBEDDING: StageGuide(
        does="turns each image into a vector with a multi-modal model",
        unit="image",
        reads=_IMAGE_INPUT,
        fails=(
            "The row keeps its label. Where the label failed too, `error_stage` names the label, and the "
            "report counts the missing vector as `masked_by_label`."
        ),
        reasons=(*_MODEL_REASONS, Reason.DIMENSION_MISMATCH),
        again=(
            "The model is called, and paid, only for rows that have no vector. Another model or dimension "
            "makes all vectors again; images and labels stay."
        ),
    ),
    Stage.LABEL_EMBEDDING: StageGuide(
        does="turns each label into a vector with a text model",
        unit="label",
        reads=(InputColumn("label_text", True, "text of the label"),),
        fails=(
            "The row keeps its label and, where there is one, the vector of its image. A label that failed "
            "is not sent. Where the image's vector is missing too, `error_stage` names that, and the report "
            "counts the label's as `masked_by_image_embedding`."
        ),
        reasons=(
            Reason.MODEL_ERROR,
            Reason.RATE_LIMITED,
            Reason.TIMEOUT,
            Reason.EMPTY_RESPONSE,
            Reason.DIMENSION_MISMATCH,
            Reason.NO_LABEL,
        ),
        again="The model is called, and paid, only for labels that are new or have no vector.",
    ),
}
"""Every stage has an entry here; nothing else has to be written for a document to explain it."""

INPUT_SHAPES: dict[str, str] = {
    "oss_prefix": "videos in an OSS bucket that no table lists yet",
    "video_table": "a table with one row per video",
    "clip_dir_table": "a table with one row per clip, which is a directory of images in OSS",
    "image_table": "a table with one row per image",
    "labeled_image_table": "a table of images that have labels already",
}
"""What a scenario starts from."""

TARGETS: dict[str, str] = {
    "manifest": "a table of the videos",
    "frame-extraction": "JPEGs in OSS, and a row per frame",
    "keyframe-expansion": "a row per keyframe of each clip",
    "image-preparation": "prepared images and their features",
    "labeling": "labels by a vision-language model",
    "embedding": "vectors of the images by a multi-modal model",
    "label-embedding": "vectors of the labels by a text model",
}
"""What a scenario makes."""
