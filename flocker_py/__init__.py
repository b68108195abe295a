"""What all programs share: records, the wire, protocols of storage and runtime, TLS, and the testing kit."""
