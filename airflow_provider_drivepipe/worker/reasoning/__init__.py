"""Functions of the reasoning family that run inside DPE workers."""
