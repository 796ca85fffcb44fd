"""Functions of the family ``retrieval`` that run in DPE workers."""
