"""Model backends of the local cloud."""
