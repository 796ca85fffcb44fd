"""Functions that run inside DPE workers; shipped by value, and of ours they import only ``contracts``."""
