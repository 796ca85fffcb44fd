"""Timetables that own ODPS partitions."""
