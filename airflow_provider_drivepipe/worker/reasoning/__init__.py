"""What DPE workers do for the reasoning family: measure videos, cut them into clips, draw sheets of frames.

Imports the standard library, pandas, numpy, PyAV and Pillow only.
"""
