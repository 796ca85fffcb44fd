"""The retrieval family: questions about videos, answered from the frames that look like the answer."""
