"""Faults on demand: what the local cloud does wrong when it is told to, for tests of those who call it."""
