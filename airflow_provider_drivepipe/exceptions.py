"""What can go wrong, sorted by what helps: mend the configuration, fix access, wait, look at the data."""

from __future__ import annotations


class DrivepipeError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(DrivepipeError):
    """The scenario, the connection or a table does not fit; a retry cannot help."""


class AuthenticationError(DrivepipeError):
    """The access keys or the role were refused; a retry cannot help."""


class QuotaError(DrivepipeError):
    """A quota or rate limit was hit; a retry after a while helps."""


class TransientError(DrivepipeError):
    """The service could not be reached or answered with a passing fault; a retry helps."""


class PartitionBusyError(TransientError):
    """Another run is writing the same partition."""


class RemoteJobError(DrivepipeError):
    """The MaxFrame job or SQL instance ran and failed."""


class RemoteJobCancelled(RemoteJobError):
    """The MaxFrame job was cancelled from outside this task."""


class RemoteJobTimeout(RemoteJobError):
    """The MaxFrame job was still running at the task's ``execution_timeout``, and was cancelled."""


class DataGateError(DrivepipeError):
    """The partition was published, but it fails the scenario's gate (too many failures, too few rows)."""


class PartitionShrinksError(DrivepipeError):
    """A published partition would lose too many of its rows; nothing was published."""


class ItemQualityError(DrivepipeError):
    """Too many items of a training set are flagged (``min_item_quality``); nothing was published."""


class EmptyInputError(DrivepipeError):
    """There is nothing to work on, and the scenario does not say that this may be; nothing was published."""


class UnbalancedCountsError(DrivepipeError):
    """Rows went missing or were counted twice between input and output; nothing was published."""
