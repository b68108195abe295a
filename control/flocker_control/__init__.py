"""The control service: the one that knows what is wanted."""
