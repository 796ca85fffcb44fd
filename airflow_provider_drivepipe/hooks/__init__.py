"""Connections to OSS, MaxCompute and MaxFrame."""
