"""What a test sets in pyodps' options stays its own."""

from maxcompute_local.pytest_fixtures import own_odps_options  # noqa: F401 - fixture
