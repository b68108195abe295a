"""The REST API of the control service."""
