"""What all programs share: records, the wire, protocols of storage and runtime, TLS, and the testing kit."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("flocker_py")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0+unknown"
