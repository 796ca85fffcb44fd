"""The local cloud: OSS, MaxCompute and MaxFrame on loopback, behind their wire protocols."""

__version__ = "0.1.0"
