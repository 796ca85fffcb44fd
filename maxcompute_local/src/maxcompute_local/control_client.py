"""A handle on a running local cloud, for tests and tools in any process of the same user."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from maxcompute_local.errors import LocalCloudError
from maxcompute_local.faults.rules import FaultKind
from maxcompute_local.settings import (
    FAULTS_PATH,
    HOST,
    MODEL_RULES_PATH,
    STATS_PATH,
    ServerSettings,
    load_settings,
)
from maxcompute_local.stats import since

_TIMEOUT_SECONDS = 10.0

Send = Callable[[str, str, object], Any]
"""Calls a control route: method, path, body."""


def call(settings: ServerSettings, method: str, path: str, body: object = None, timeout: float = 5) -> Any:
    """Call a control route and return its answer; LocalCloudError when there is no good one."""
    url = f"http://{HOST}:{settings.odps_port}{path}"
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {settings.control_token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    # Proxies of the environment are for the outside, not for loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise LocalCloudError(_refusal(error) or f"no good answer from {url}: {error}") from error
    except (OSError, ValueError) as error:
        raise LocalCloudError(f"no good answer from {url}: {error}") from error


def _refusal(error: urllib.error.HTTPError) -> str | None:
    try:
        values = json.load(error)
    except ValueError:
        return None
    return str(values["error"]) if isinstance(values, dict) and "error" in values else None


class LocalCloudControl:
    """Counters, model answers and faults of the local cloud of a root folder, wherever its server runs.

    Ports and token are read from the folder at every call, so one handle serves across restarts; counters,
    rules and faults do not outlive the server's process. Every method raises LocalCloudError when no server
    answers, or when it refuses, with the server's own text.
    """

    def __init__(self, root: Path | str) -> None:
        self._root = Path(root).absolute()
        self.faults = FaultControl(self._call)
        self.models = ModelControl(self._call)

    def stats(self) -> dict[str, int]:
        """Return all counters by kind; one that is not there is 0."""
        counters: dict[str, int] = self._call("GET", STATS_PATH)
        return counters

    @contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """Yield a dict that holds, after the block, by how much each counter has changed in it."""
        changes: dict[str, int] = {}
        before = self.stats()
        yield changes
        changes.update(since(before, self.stats()))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        settings = load_settings(self._root)
        if settings is None:
            raise LocalCloudError(f"no local cloud has run on {self._root}")
        return call(settings, method, path, body, _TIMEOUT_SECONDS)


class FaultControl:
    """Faults in force; see Fault for what each kind and condition means."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def add(
        self,
        match: str,
        fault: FaultKind | str,
        *,
        status: int | None = None,
        seconds: float | None = None,
        after_bytes: int | None = None,
        bytes_per_second: int | None = None,
        after: int | None = None,
        count: int | None = None,
        rate: float | None = None,
        seed: int | None = None,
    ) -> int:
        """Put a fault in force; return its number.

        :param match: name of a counter, or a pattern, e.g. ``oss.GetObject`` or ``odps.tunnel.*``.
        :param fault: one of FaultKind.
        :param status: of ``http``: 429, 500 or 503 (the default).
        :param seconds: of ``latency``, ``clock_skew`` and ``kill_worker``.
        :param after_bytes: of ``reset`` and ``truncate``; half of the body when not given.
        :param bytes_per_second: of ``drip``.
        :param after: how many calls are let through before the first one is struck.
        :param count: how many calls are struck at most.
        :param rate: share of the calls that is struck, by their order and ``seed``.
        """
        given = {
            "match": match,
            "fault": str(fault),
            "status": status,
            "seconds": seconds,
            "after_bytes": after_bytes,
            "bytes_per_second": bytes_per_second,
            "after": after,
            "count": count,
            "rate": rate,
            "seed": seed,
        }
        return int(self._send("POST", FAULTS_PATH, given)["id"])

    def add_preset(self, name: str, **changes: Any) -> int:
        """Put a fault of PRESETS in force, with some of its fields replaced; return its number."""
        return int(self._send("POST", FAULTS_PATH, {"preset": name, **changes})["id"])

    def list(self) -> list[dict[str, Any]]:
        """Return the faults, oldest first, with ``id`` and how many calls they ``matched`` and ``struck``."""
        faults: list[dict[str, Any]] = self._send("GET", FAULTS_PATH, None)
        return faults

    def clear(self, number: int | None = None) -> int:
        """Drop one fault, or all; return how many there were."""
        query = "" if number is None else "?" + urlencode({"id": number})
        return int(self._send("DELETE", FAULTS_PATH + query, None)["dropped"])


class ModelControl:
    """Prepared answers of models; see ModelRule for what each condition means."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def script(
        self,
        model: str,
        *,
        call: str | None = None,
        nth: Sequence[int] = (),
        fail_first: int | None = None,
        images: Sequence[str] = (),
        videos: Sequence[str] = (),
        prompts: Sequence[str] = (),
        rate: float | None = None,
        seed: int = 0,
        times: int | None = None,
        status: int = 200,
        code: str | None = None,
        message: str | None = None,
        content: str | Mapping[str, Any] | None = None,
        embedding: Sequence[float] | None = None,
        body: str | None = None,
        delay: float = 0,
        retry_after: int | None = None,
    ) -> int:
        """Answer the calls of a model that meet all conditions given; return the rule's number.

        :param model: name of the model, or a pattern with ``*``.
        :param call: ``chat``, ``embed`` or ``draw``; None for all.
        :param nth: numbers of the calls since now, from 1.
        :param fail_first: the first so many different pictures since now.
        :param images: parts of pictures' addresses, or beginnings of the SHA-256 of their bytes.
        :param videos: the same of videos.
        :param prompts: parts of the calls' texts.
        :param rate: share of the pictures, by their bytes and ``seed``; the same ones every time.
        :param times: how often one picture is picked; None for ever. MaxFrame's operators try a call that got
            500 and above up to 4 times, one that got another error once; after 429 they wait and try again,
            for minutes, unless ``retry_after`` is longer than that.
        :param status: HTTP status; 400 and above is an error with ``code`` and ``message``.
        :param content: text of a chat answer; a mapping is sent as JSON. Of a drawing, the picture in Base64.
        :param embedding: vector for every part of an embedding request.
        :param body: whole answer, sent as it stands with ``status``.
        :param delay: seconds before the answer. Without anything else, the model's own answer follows.
        :param retry_after: seconds in the header ``Retry-After`` of a failure.
        """
        rule = {
            "model": model,
            "call": call,
            "nth": list(nth),
            "fail_first": fail_first,
            "images": list(images),
            "videos": list(videos),
            "prompts": list(prompts),
            "rate": rate,
            "seed": seed,
            "times": times,
            "status": status,
            "code": code,
            "message": message,
            "content": dict(content) if isinstance(content, Mapping) else content,
            "embedding": None if embedding is None else list(embedding),
            "body": body,
            "delay": delay,
            "retry_after": retry_after,
        }
        return int(self._send("POST", MODEL_RULES_PATH, rule)["id"])

    def list(self) -> list[dict[str, Any]]:
        """Return the rules, the one asked first first, with ``id`` and the number of calls ``picked``."""
        rules: list[dict[str, Any]] = self._send("GET", MODEL_RULES_PATH, None)
        return rules

    def clear(self, model: str | None = None) -> int:
        """Drop all rules, or those added for exactly this model name; return how many there were."""
        query = "" if model is None else "?" + urlencode({"model": model})
        return int(self._send("DELETE", MODEL_RULES_PATH + query, None)["dropped"])
