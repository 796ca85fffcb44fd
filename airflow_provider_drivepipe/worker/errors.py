"""The error of a video that gives no frames. Runs in DPE workers."""

from __future__ import annotations


class VideoError(Exception):
    """A video that gives no frames; ``reason`` is one of the typed reasons of the contracts.

    The message is for people and holds no local path.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        # Tables take a plain text.
        self.reason = str(reason)
