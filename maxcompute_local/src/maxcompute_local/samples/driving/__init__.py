"""Drawn drives: pictures that look like a forward camera's, for the demo and the tests."""
