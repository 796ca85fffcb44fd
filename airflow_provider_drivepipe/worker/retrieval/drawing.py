"""Images drawn for requests by an image model behind HTTP, written to OSS. Runs in DPE workers.

Standard library, pandas, numpy and Pillow. A drawn image is named by what it was drawn from, so that a later
try of the same query finds it and pays nothing. What cannot be drawn has its reference frame instead.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import pathlib
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_drivepipe.contracts import MAX_ERROR_MESSAGE, Column, Reason
from airflow_provider_drivepipe.worker.answers import Failure, Response, call_failure, scrub
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.image_reading import read_image, refusal
from airflow_provider_drivepipe.worker.images import ImageError, decode, encode_jpeg
from airflow_provider_drivepipe.worker.output_folder import OutputFolder
from airflow_provider_drivepipe.worker.paths import (
    check_output_prefix,
    key_below_root,
    output_url,
)
from airflow_provider_drivepipe.worker.retrieval.queries import PLANNED_IMAGE
from airflow_provider_drivepipe.worker.rows import Result, RowPart, text_of, with_results

NOT_ASKED, DRAWN, REFERENCE = "not_asked", "drawn", "reference"
DRAW_COLUMNS: tuple[Column, ...] = (
    Column("drawn_url", "string", "full OSS URI of the drawn image (JPEG), NULL where none was drawn"),
    Column("query_url", "string", "the image that frames are looked for with: drawn, or the reference frame"),
    Column("draw_outcome", "string", "not_asked, drawn, or reference: the reference frame stands in"),
    Column(
        "draw_error", "string", "why nothing was drawn: a typed reason and the service's words, else NULL"
    ),
)
_NAME_DIGITS = 32
_NAME_ROOM = len("/.") + _NAME_DIGITS + len(".jpg.01234567.tmp")
_JPEG_QUALITY = 90
_CHUNK = 1 << 16
_FIRST_WAIT_SEC = 2.0
_SHOWN = 2000
_TYPES = ((b"\x89PNG", "png"), (b"RIFF", "webp"), (b"GIF8", "gif"))


@dataclass(frozen=True, kw_only=True)
class DrawJob:
    """What one call of :func:`draw_images` makes.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; drawn images go to
    ``<oss_root>/<output_prefix>/``.

    :param part: what rows get, with the columns of ``DRAW_COLUMNS``; its result is ``draw_outcome``.
    :param base_url: of the image service, before ``/images/generations``.
    :param api_key: sent as a bearer token; empty for a service without one.
    :param size: of the image, as the service writes it.
    :param timeout_sec: deadline of a request, and of fetching the image.
    :param tries: requests for an image while the service says that it is busy (429) or broken (5xx).
    :param max_wait_sec: longest wait before the next try, whatever the service asks for.
    """

    part: RowPart
    base_url: str
    api_key: str = field(repr=False)
    model: str
    size: str
    oss_root: str
    mount_path: str
    output_prefix: str
    timeout_sec: float = 120.0
    tries: int = 4
    max_wait_sec: float = 60.0
    max_bytes: int = 50_000_000
    max_pixels: int = 50_000_000

    def check(self) -> None:
        """Raise ValueError for a job with which nothing can be drawn."""
        check_output_prefix(self.output_prefix, self.oss_root, _NAME_ROOM)
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError("the image service's address starts with http:// or https://")
        if self.tries < 1 or min(self.timeout_sec, self.max_bytes, self.max_pixels) <= 0:
            raise ValueError("there is at least one try, and the limits are above 0")


class _NotDrawn(Exception):
    """Why there is no image."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _Busy(_NotDrawn):
    """The service may draw it later; ``wait_sec`` is how long it asks to wait, None where it does not say."""

    def __init__(self, failure: Failure, wait_sec: float | None) -> None:
        super().__init__(failure)
        self.wait_sec = wait_sec


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key would go along, to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        """Leave the redirect as the error that it then is."""
        return


def draw_images(rows: Any, job: DrawJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows``, a pandas DataFrame of queries, with an image for each planned one.

    No row fails: a request that cannot be drawn has its ``reference_url`` as ``query_url``, and says why.
    Queries of other kinds have no image. After a service was too busy for all tries of an image, the others
    of these rows are tried once each. Raises ValueError for a job with which nothing can be drawn.
    """
    job.check()
    started = time.monotonic()
    tries = job.tries
    results: list[Result] = []
    for row in rows.to_dict("records"):
        if text_of(row["query_kind"]) != PLANNED_IMAGE:
            results.append(({"draw_outcome": NOT_ASKED}, None))
            continue
        prompt, reference = text_of(row["query_text"]), text_of(row["reference_url"])
        cells: dict[str, Any]
        try:
            url = _drawn(prompt, reference, job, tries)
            cells = {"drawn_url": url, "query_url": url, "draw_outcome": DRAWN}
        except _NotDrawn as error:
            tries = 1 if isinstance(error, _Busy) else tries
            said = _error_text(error.failure, job)
            cells = {"query_url": reference or None, "draw_outcome": REFERENCE, "draw_error": said}
        results.append((cells, None))
    outcomes = [cells["draw_outcome"] for cells, _ in results]
    drawn, lacking = outcomes.count(DRAWN), outcomes.count(REFERENCE)
    seconds = time.monotonic() - started
    print(f"{drawn} images drawn, {lacking} not, {seconds:.1f} s", flush=True)  # noqa: T201
    return with_results(rows, results, job.part, columns)


def drawn_name(prompt: str, reference_url: str, job: DrawJob) -> str:
    """Return the file name of what is drawn from a prompt and a reference frame."""
    content = json.dumps([job.model, job.size, prompt, reference_url], ensure_ascii=False)
    return f"{hashlib.sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()[:_NAME_DIGITS]}.jpg"


def _drawn(prompt: str, reference_url: str, job: DrawJob, tries: int) -> str:
    """Return the URI of the image of a request, which may be there already; raise _NotDrawn."""
    name = drawn_name(prompt, reference_url, job)
    try:
        url = output_url(job.oss_root, job.output_prefix, name)
        if _is_there(url, job):
            return url
        reference = read_image(
            job.mount_path, key_below_root(reference_url, job.oss_root, "reference_url"), job.max_bytes
        )
        image = decode(_with_tries(prompt, reference, job, tries), job.max_pixels)
        content = encode_jpeg(image.pixels, _JPEG_QUALITY)
    except (VideoError, ImageError, OSError) as error:
        said = refusal(error)
        raise _NotDrawn(Failure(said["reason"], said["message"])) from error
    try:
        with OutputFolder(pathlib.Path(job.mount_path), job.output_prefix.split("/"), create=True) as folder:
            folder.write(name, f".{name}.{secrets.token_hex(4)}.tmp", content)
    except (VideoError, OSError) as error:
        why = str(error) if isinstance(error, VideoError) else str(error.strerror)
        raise _not_drawn(Reason.WRITE_ERROR, f"the image cannot be written: {why}") from error
    return url


def _is_there(url: str, job: DrawJob) -> bool:
    """Return whether an earlier try has written the image, whole."""
    try:
        decode(read_image(job.mount_path, key_below_root(url, job.oss_root), job.max_bytes), job.max_pixels)
    except (VideoError, ImageError, OSError):
        return False
    return True


def _with_tries(prompt: str, reference: bytes, job: DrawJob, tries: int) -> bytes:
    """Return the file that the service draws; a service that is busy or broken is asked again."""
    for number in range(tries):
        try:
            return _ask(prompt, reference, job)
        except _Busy as error:
            if number == tries - 1:
                raise
            wait = _FIRST_WAIT_SEC * 2**number if error.wait_sec is None else error.wait_sec
            time.sleep(min(max(wait, 0.0), job.max_wait_sec))
    raise AssertionError("there is at least one try")


def _ask(prompt: str, reference: bytes, job: DrawJob) -> bytes:
    type_ = next((name for start, name in _TYPES if reference.startswith(start)), "jpeg")
    asked = {
        "model": job.model,
        "prompt": prompt,
        "image": f"data:image/{type_};base64,{base64.b64encode(reference).decode()}",
        "size": job.size,
        "n": 1,
        "response_format": "b64_json",
    }
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if job.api_key:
        headers["Authorization"] = f"Bearer {job.api_key}"
    request = urllib.request.Request(
        f"{job.base_url.rstrip('/')}/images/generations", json.dumps(asked).encode(), headers
    )
    # Base64 needs a third more than what it stands for.
    response = Response.of(_fetch(request, job, 2 * job.max_bytes).decode(errors="replace"))
    if response.content is None:
        raise _not_drawn(Reason.MODEL_ERROR, "the response of the image service is not a JSON object")
    text = response.at("data", 0, "b64_json")
    if isinstance(text, str) and text:
        try:
            return base64.b64decode(text)
        except ValueError as error:
            raise _not_drawn(Reason.MODEL_ERROR, "b64_json of the response is not Base64") from error
    url = response.at("data", 0, "url")
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        return _fetch(urllib.request.Request(url), job, job.max_bytes)
    if response.at("error") is not None:
        raise _NotDrawn(call_failure(response))
    raise _not_drawn(Reason.EMPTY_RESPONSE, "the response holds neither an image nor the http address of one")


def _fetch(request: urllib.request.Request, job: DrawJob, max_bytes: int) -> bytes:
    """Return what an address answers, within the deadline; raise _NotDrawn."""
    deadline = time.monotonic() + job.timeout_sec
    opener = urllib.request.build_opener(_NoRedirect())
    parts, size = [], 0
    try:
        with opener.open(request, timeout=job.timeout_sec) as response:
            while part := response.read1(_CHUNK):
                size += len(part)
                if size > max_bytes:
                    raise _not_drawn(Reason.IMAGE_TOO_LARGE, f"the response has more than {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError
                parts.append(part)
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, TimeoutError):
            raise _not_drawn(Reason.TIMEOUT, f"no image within {job.timeout_sec:g} seconds") from error
        said = getattr(cause, "strerror", None) or type(cause).__name__
        raise _not_drawn(Reason.MODEL_ERROR, f"the image service cannot be reached: {said}") from error
    return b"".join(parts)


def _refused(error: urllib.error.HTTPError) -> _NotDrawn:
    with error:
        try:
            body = error.read(_SHOWN).decode(errors="replace")
        except (OSError, http.client.HTTPException):
            body = ""
    failure = call_failure(Response.of(body))
    by_code = call_failure(Response(f"HTTP {error.code}", None)).reason
    reason = failure.reason if by_code == Reason.MODEL_ERROR else by_code
    failure = Failure(reason, f"HTTP {error.code}: {failure.message if body else error.reason}")
    if error.code == 429 or error.code >= 500:
        return _Busy(failure, _wait_sec(error.headers.get("Retry-After") or ""))
    return _NotDrawn(failure)


def _wait_sec(text: str) -> float | None:
    """Return the seconds that ``Retry-After`` says, as a number or a date; None where it says none."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _error_text(failure: Failure, job: DrawJob) -> str:
    """Return reason and message, without the key and without local paths."""
    message = failure.message.replace(job.mount_path, "")
    if job.api_key:
        message = message.replace(job.api_key, "***")
    return f"{failure.reason}: {scrub(message)}"[:MAX_ERROR_MESSAGE]


def _not_drawn(reason: Reason, message: str) -> _NotDrawn:
    return _NotDrawn(Failure(reason, message))
