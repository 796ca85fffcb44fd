"""Functions that run inside DPE workers; shipped by value, so they import nothing of ours."""
