"""
The data plane: snapshots of datasets from one agent straight to another.
"""
