"""What commands raise when they cannot do what they were asked."""

from __future__ import annotations


class CommandError(Exception):
    """What is wrong, where, and what to do; the text is shown as it is, and the exit code is 1."""
