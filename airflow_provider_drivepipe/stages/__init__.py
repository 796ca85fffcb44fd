"""What a stage is, and what stages are made of; nothing heavy is imported before a graph is built."""
