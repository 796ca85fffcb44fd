"""Airflow triggers."""

FIRST_POLL_DELAY = 10.0
"""Seconds; a task that resumes within a few seconds of deferring can be taken for a failed one."""
