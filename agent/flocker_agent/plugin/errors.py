"""
Why a volume can't be had as it was asked for.
"""

from __future__ import annotations

from flocker_py.errors import FlockerError


class VolumeRefused(FlockerError):
    """
    Nothing was changed.
    """

    # Docker's user reads no more than the message, which says what to do.
    lasting = True


class OptionRefused(VolumeRefused):
    """
    A name or an option of a volume can't be.
    """
