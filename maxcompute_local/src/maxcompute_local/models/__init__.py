"""Models of the local cloud: built-in ones without weights, and any OpenAI-compatible endpoint."""
