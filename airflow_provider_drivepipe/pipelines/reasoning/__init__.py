"""The reasoning family: what raw driving videos become on their way to questions, answers and reasoning."""
