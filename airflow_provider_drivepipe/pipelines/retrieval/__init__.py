"""The family ``retrieval``: questions about videos, answered from the frames that different arms choose."""
