"""What a model backend is: requests, answers and errors that every backend and the service share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TextPart:
    """A piece of text in a message or an embedding's input."""

    text: str


@dataclass(frozen=True)
class ImagePart:
    """An encoded picture (JPEG, PNG, ...) in a message or an embedding's input."""

    data: bytes
    mime: str = "image/jpeg"
    source: str = ""
    """Address that the picture was fetched from, without its query; empty when it came as bytes."""


@dataclass(frozen=True)
class VideoPart:
    """An encoded video (MP4, WebM, ...) in a message or an embedding's input."""

    data: bytes
    mime: str = "video/mp4"
    source: str = ""
    """Address that the video was fetched from, without its query; empty when it came as bytes."""


MediaPart = ImagePart | VideoPart
Part = TextPart | MediaPart


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class ChatRequest:
    """A chat completion that is asked for."""

    model: str
    messages: tuple[Message, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    """Sampling parameters such as ``max_tokens`` and ``temperature``."""
    running_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All text of all messages, joined by line feeds."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """All pictures of all messages, in order."""
        return tuple(part for part in self.parts if isinstance(part, ImagePart))

    @property
    def videos(self) -> tuple[VideoPart, ...]:
        """All videos of all messages, in order."""
        return tuple(part for part in self.parts if isinstance(part, VideoPart))

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of all messages, in order."""
        return tuple(part for message in self.messages for part in message.parts)


@dataclass(frozen=True)
class ChatAnswer:
    """A chat completion and the tokens that it cost."""

    content: str
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"


@dataclass(frozen=True)
class EmbedRequest:
    """Embeddings that are asked for, one per part."""

    model: str
    parts: tuple[Part, ...]
    dimension: int | None = None
    """Length of each vector; None leaves it to the model."""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EmbedAnswer:
    """One vector per part, in order, and the tokens that they cost."""

    vectors: tuple[tuple[float, ...], ...]
    input_tokens: int


@dataclass(frozen=True)
class DrawRequest:
    """Pictures that are asked for."""

    model: str
    prompt: str
    images: tuple[ImagePart, ...] = ()
    """What the pictures are to look like."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; None leaves them to the model."""
    count: int = 1

    @property
    def parts(self) -> tuple[Part, ...]:
        """The prompt and the pictures."""
        return (TextPart(self.prompt), *self.images)


@dataclass(frozen=True)
class DrawAnswer:
    """Encoded pictures, as many as were asked for."""

    pictures: tuple[bytes, ...]


class ModelError(Exception):
    """A model call that failed; becomes an HTTP error of the model service.

    ``code`` is one of those that Alibaba Cloud Model Studio uses, so that callers classify local and real
    failures by the same rules; ``InvalidImage``, ``InvalidVideo`` and
    ``UnsupportedTask`` are our own. ``retry_after`` is what the header of that name says, seconds or a date,
    None where there is none.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


RATE_LIMITED = "Throttling.RateQuota"
CONTENT_BLOCKED = "DataInspectionFailed"
INTERNAL_ERROR = "InternalError"
TIMEOUT = "RequestTimeOut"
INVALID_PARAMETER = "InvalidParameter"
INVALID_IMAGE = "InvalidImage"
INVALID_VIDEO = "InvalidVideo"
UNSUPPORTED_TASK = "UnsupportedTask"
MODEL_NOT_FOUND = "ModelNotFound"
UNAUTHORIZED = "InvalidApiKey"


class Backend:
    """Answers model calls; a backend implements what its tasks need. Calls come from several threads."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return a completion; raise ModelError when there is none."""
        raise ModelError(400, UNSUPPORTED_TASK, f"model {request.model!r} does not generate text")

    def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """Return one vector per part; raise ModelError when there is none."""
        raise ModelError(400, UNSUPPORTED_TASK, f"model {request.model!r} does not embed")

    def draw(self, request: DrawRequest) -> DrawAnswer:
        """Return pictures; raise ModelError when there are none."""
        raise ModelError(400, UNSUPPORTED_TASK, f"model {request.model!r} does not draw")
