"""Errors as MaxCompute reports them: HTTP status, the name that clients map to a class, numbered text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MAX_CLOCK_SKEW = timedelta(minutes=15)
"""How far the time of a signature may be from the server's."""

_SOMEWHERE = "[1,1] "


class OdpsError(Exception):
    """A failure that a client sees.

    ``code`` is the name in a REST answer (``NoSuchObject``), from which the SDK picks its exception class;
    ``odps_code`` the number in the text of a failed instance (``ODPS-0130131``), which does the same there.
    """

    def __init__(self, status: int, code: str, message: str, odps_code: str = "ODPS-0420411") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.odps_code = odps_code
        self.message = message

    def at(self, line: int, column: int) -> OdpsError:
        """Return the error with its place in the statement, unless it has one that is more exact."""
        if not self.message.startswith(_SOMEWHERE):
            return self
        message = f"[{line},{column}] {self.message.removeprefix(_SOMEWHERE)}"
        return OdpsError(self.status, self.code, message, self.odps_code)

    @property
    def text(self) -> str:
        """Return the numbered text, e.g. ``ODPS-0130131:Table not found - ...``."""
        return f"{self.odps_code}:{self.message}"


def request_time_too_skewed(signed_at: datetime, now: datetime) -> OdpsError:
    """Return the error for a request that was signed more than 15 minutes before or after ``now``."""
    text = (
        "Authentication request expired - the expire time interval exceeds the max limitation: "
        f"{MAX_CLOCK_SKEW // timedelta(milliseconds=1)}, "
        f"max_interval_date:{MAX_CLOCK_SKEW // timedelta(milliseconds=1)},"
        f"expire_date:{_milliseconds(signed_at)},now_date:{_milliseconds(now)}"
    )
    return OdpsError(401, "RequestTimeTooSkewed", text, "ODPS-0410031")


def _milliseconds(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def no_such_project(name: str) -> OdpsError:
    """Return the error for an unknown project."""
    return OdpsError(404, "NoSuchProject", f"Project not found - '{name}'.", "ODPS-0420111")


def no_such_schema(name: str) -> OdpsError:
    """Return the error for an unknown schema."""
    return OdpsError(404, "NoSuchObject", f"Schema not found - '{name}'.", "ODPS-0420061")


def no_such_table(name: str) -> OdpsError:
    """Return the error for an unknown table."""
    return OdpsError(
        404, "NoSuchObject", f"[1,1] Table not found - table {name} cannot be resolved", "ODPS-0130131"
    )


def no_such_partition(table: str, spec: str) -> OdpsError:
    """Return the error for an unknown partition."""
    text = f"The specified partition does not exist - {spec} of {table}"
    return OdpsError(404, "NoSuchPartition", text, "ODPS-0110061")


def already_exists(what: str) -> OdpsError:
    """Return the error for something that must not exist yet, e.g. ``Table p.t``."""
    text = f"Failed to run ddltask - AlreadyExistsException(message:{what} already exists.)"
    return OdpsError(409, "ObjectAlreadyExists", text, "ODPS-0110061")


def invalid_partition(message: str) -> OdpsError:
    """Return the error for a partition spec that does not fit its table."""
    return OdpsError(400, "InvalidPartitionSpec", f"Partition exception - {message}", "ODPS-0123031")


def invalid_argument(message: str) -> OdpsError:
    """Return the error for a request that makes no sense."""
    return OdpsError(400, "InvalidArgument", message)


def parse_error(message: str, offset: int = 0) -> OdpsError:
    """Return the error for SQL that cannot be read or that the local cloud does not support."""
    return OdpsError(400, "ParseError", f"[1,{offset + 1}] Parse exception - {message}", "ODPS-0130161")


def semantic_error(message: str) -> OdpsError:
    """Return the error for SQL that reads well but means nothing, e.g. an unknown column."""
    return OdpsError(400, "InvalidArgument", f"[1,1] Semantic analysis exception - {message}", "ODPS-0130071")


def not_supported(what: str) -> OdpsError:
    """Return the error for a call that MaxCompute has and the local cloud has not."""
    # Not 501: clients of the tunnel try calls again for minutes after any status from 500 on.
    return OdpsError(400, "NotImplemented", f"not supported by the local cloud: {what}", "ODPS-0420061")


def no_interactive_queries() -> OdpsError:
    """Return the error from which clients see that a query must run as an ordinary one."""
    text = "interactive queries (MCQA) are not supported by the local cloud"
    return OdpsError(400, "InvalidArgument", text, "ODPS-185")


def illegal_conversion(message: str) -> OdpsError:
    """Return the error for SQL that needs a conversion between types which does not exist."""
    return OdpsError(400, "InvalidArgument", f"[1,1] Illegal implicit type cast - {message}", "ODPS-0130141")


def illegal_union(message: str) -> OdpsError:
    """Return the error for a UNION, INTERSECT or EXCEPT of queries whose columns do not fit together."""
    return OdpsError(400, "InvalidArgument", f"[1,1] Illegal union operation - {message}", "ODPS-0130241")
