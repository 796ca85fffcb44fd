"""Who may call: request signatures (V2 and V4) and their time, and bearer tokens that survive a restart."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from urllib.parse import unquote, urlparse

from odps.accounts import CloudAccount
from requests.structures import CaseInsensitiveDict

from maxcompute_local.odps.database import Database
from maxcompute_local.odps.errors import MAX_CLOCK_SKEW, OdpsError, request_time_too_skewed

LOGVIEW_PURPOSE = "logview"
ACCESS_PURPOSE = "access"

_TABLES = """
CREATE TABLE IF NOT EXISTS tokens (
    digest TEXT PRIMARY KEY, purpose TEXT NOT NULL, created REAL NOT NULL, expires REAL);
CREATE INDEX IF NOT EXISTS tokens_by_purpose ON tokens (purpose);
CREATE INDEX IF NOT EXISTS tokens_by_end ON tokens (expires);
"""
_AUTHORIZATION = re.compile(r"ODPS ([^:/]+)(?:/(\d{8})/([^/]+)/odps/aliyun_v4_request)?:(.+)")


class Tokens:
    """Bearer tokens. Only their digests are stored."""

    def __init__(self, database: Database) -> None:
        self._db = database
        database.create(_TABLES)

    def forget_old(self) -> None:
        """Delete the tokens that have expired."""
        with self._db.write() as db:
            db.execute("DELETE FROM tokens WHERE expires < ?", (time.time(),))

    def issue(self, purpose: str, lifetime_seconds: float | None = None) -> str:
        """Return a new token, valid for a time or until it is revoked.

        A purpose that starts with ``logview:`` opens that LogView page and nothing else.
        """
        token = f"lt-{secrets.token_urlsafe(32)}"
        now = time.time()
        expires = None if lifetime_seconds is None else now + lifetime_seconds
        with self._db.write() as db:
            db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?)", (_digest(token), purpose, now, expires))
        return token

    def revoke(self, purpose: str) -> None:
        """Make the tokens that were issued for a purpose invalid."""
        with self._db.write() as db:
            db.execute("DELETE FROM tokens WHERE purpose = ?", (purpose,))

    def purpose(self, token: str) -> str | None:
        """Return what a token was issued for, None when it is not valid."""
        with self._db.read() as db:
            row = db.execute(
                "SELECT purpose FROM tokens WHERE digest = ? AND (expires IS NULL OR expires > ?)",
                (_digest(token), time.time()),
            ).fetchone()
        return None if row is None else str(row["purpose"])


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Authenticator:
    """Verifies that a request comes from someone who knows a secret or holds a token.

    An STS token (``authorization-sts-token``) is accepted as it is: the signature is what counts.
    """

    def __init__(self, credentials: Mapping[str, str], tokens: Tokens) -> None:
        self._credentials = dict(credentials)
        self._tokens = tokens

    def verify(self, method: str, path_and_query: str, headers: Mapping[str, str]) -> None:
        """Raise an error unless the request is authentic. ``path_and_query`` is as sent, without prefix."""
        token = headers.get("x-odps-bearer-token")
        if token is not None:
            purpose = self._tokens.purpose(token)
            if purpose is None or purpose.startswith(LOGVIEW_PURPOSE):
                raise _unauthorized("Unauthorized", "the bearer token is not valid")
            return
        match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if match is None:
            raise _unauthorized("AuthorizationRequired", "no authorization header that can be read")
        access_key, date, region, signature = match.groups()
        secret = self._credentials.get(access_key)
        if secret is None:
            raise _unauthorized("Unauthorized", f"unknown access key id {access_key}")
        if "date" not in headers:
            raise _unauthorized("AuthorizationRequired", "the Date header, which is signed, is missing")
        expected = _signature(CloudAccount(access_key, secret), method, path_and_query, headers, date, region)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise OdpsError(
                403,
                "SignatureNotMatch",
                "Invalid signature value - the request signature does not match: check the access key secret",
                "ODPS-0410042",
            )
        _check_time(headers["date"])


def _check_time(date: str) -> None:
    """Raise RequestTimeTooSkewed unless a request was signed at about this time."""
    now = datetime.now(UTC)
    try:
        signed_at = parsedate_to_datetime(date)
    except ValueError:
        raise _unauthorized("AuthorizationRequired", f"the Date header is no date: {date}") from None
    if signed_at.tzinfo is None:
        signed_at = signed_at.replace(tzinfo=UTC)
    if abs(now - signed_at) > MAX_CLOCK_SKEW:
        raise request_time_too_skewed(signed_at, now)


def _unauthorized(code: str, why: str) -> OdpsError:
    return OdpsError(401, code, f"Invalid credentials - {why}", "ODPS-0410051")


def _signature(
    account: CloudAccount,
    method: str,
    path_and_query: str,
    headers: Mapping[str, str],
    date: str | None,
    region: str | None,
) -> str:
    # What is signed is built by the SDK itself, from the same parts of the request as in the client.
    url = urlparse(unquote(path_and_query), allow_fragments=False)
    request = SimpleNamespace(method=method, headers=CaseInsensitiveDict(headers))
    canonical = account._build_canonical_str(url, request)
    if date is None or region is None:
        key = account.secret_access_key.encode()
    else:
        key = account._get_v4_signature_key(date, region)
    digest = hmac.new(key, canonical.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
