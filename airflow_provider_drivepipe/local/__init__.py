"""The local cloud: OSS, MaxCompute and MaxFrame on loopback, behind their wire protocols."""
