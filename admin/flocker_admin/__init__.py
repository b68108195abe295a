"""The tools of the operator."""
