"""Contract suites, strategies and faults, for this project and for authors of backends."""
