"""The MaxFrame service and its engine."""
