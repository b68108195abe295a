"""
What the plugin remembers, on disk: ``mounted.json`` in its state folder, which nobody else can read.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from flocker_agent.plugin.users import MountedVolumes, in_era
from flocker_py import wire
from flocker_py.errors import FlockerError

FILE = "mounted.json"


class MountsUnreadable(FlockerError):
    """
    What says who has volumes mounted here can't be read. Put back the file as it was; or end the containers that use
    volumes of the cluster, remove the file, and release their leases: flockerctl leases, flockerctl release.
    """

    lasting = True


def remember(folder: Path, known: MountedVolumes) -> None:
    """
    Write it down, durably and in the place of what was there. Blocking.

    :raises OSError: it could not be written; what was there is.
    """
    temporary = folder / f"{FILE}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(wire.to_text(known))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE)
    names = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(names)
    finally:
        os.close(names)


def remembered(folder: Path, era: UUID) -> MountedVolumes:
    """
    What was written down last, as it stands in this boot of the host; nothing, if it never was.

    :raises MountsUnreadable: it can't be read.
    """
    path = folder / FILE
    try:
        known = wire.from_text(MountedVolumes, path.read_text())
    except FileNotFoundError:
        return MountedVolumes(era=era)
    except (OSError, UnicodeDecodeError, wire.WireError) as error:
        raise MountsUnreadable(f"{path}: {error}") from error
    return in_era(known, era)
