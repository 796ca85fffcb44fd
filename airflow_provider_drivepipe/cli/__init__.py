"""The drivepipe command."""
