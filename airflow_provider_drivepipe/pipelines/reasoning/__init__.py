"""The reasoning family: from raw videos to checked question-and-answer data, step by step."""
