"""The agent: the one that makes it so, on one host."""
