"""Errors that a person who starts or uses the local cloud can do something about."""

from __future__ import annotations


class LocalCloudError(Exception):
    """What is wrong, where, and what to do; the text is shown as it is."""


class RootInUseError(LocalCloudError):
    """Another living server works on the same root folder."""


class PortInUseError(LocalCloudError):
    """A port that must be used is taken."""
