"""
Names of images, as Docker and its registries take them.

>>> image_reference("registry:5000/team/db:16").registry
'registry:5000'
>>> image_reference("registry:5000/db").tag is None
True
>>> image_reference("Postgres:16")
Traceback (most recent call last):
flocker_py.images.ImageUnreadable: 'Postgres' has a capital letter, and names of repositories have none: 'Postgres:16'

The grammar is that of the Distribution project's package ``reference``: what stands before the first slash is a
registry if it has a dot or a colon, or is ``localhost``; else it belongs to the repository.
"""

from __future__ import annotations

import ipaddress
import re

from flocker_py.errors import FlockerError
from flocker_py.records import Record, value

DEFAULT_TAG = "latest"
LONGEST_REPOSITORY = 255
"""Characters that the name of a repository can have, its registry's included."""
LONGEST_IMAGE = 512
"""Characters that are read at all: the longest name with the longest tag and digest has fewer."""

_COMPONENT = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}")
_HOST = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*")
_REGISTRY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")
_ID = re.compile(r"[0-9a-f]{64}")
_DIGEST_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_HIGHEST_PORT = 65535


class ImageUnreadable(FlockerError):
    """
    An image is named [registry[:port]/]repository[:tag][@digest]: postgres:16, registry:5000/db, db@sha256:….
    """

    lasting = True


class ImageReference(Record):
    """
    The name of an image, in its parts.

    :param registry: host, perhaps with a port; None: the one that the engine asks where none is named.
    :param repository: in lower case, perhaps in several parts with slashes between them.
    :param tag: None: ``latest``, unless there is a digest.
    :param digest: such as ``sha256:…``: the very image, whatever becomes of its tag.
    """

    registry: str | None = value((str, type(None)), default=None)
    repository: str = value(str)
    tag: str | None = value((str, type(None)), default=None)
    digest: str | None = value((str, type(None)), default=None)

    @property
    def name(self) -> str:
        """
        Registry and repository.
        """
        return self.repository if self.registry is None else f"{self.registry}/{self.repository}"

    @property
    def text(self) -> str:
        """
        The whole name, as it was written.
        """
        tag = "" if self.tag is None else f":{self.tag}"
        return f"{self.name}{tag}" if self.digest is None else f"{self.name}{tag}@{self.digest}"

    @property
    def asked_for(self) -> str:
        """
        What a registry is asked for: the digest if there is one, else the tag.
        """
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def pinned(self) -> bool:
        """
        Whether it names the same image for ever.
        """
        return self.digest is not None


def image_reference(written: str) -> ImageReference:
    """
    An image's name in its parts.

    :raises ImageUnreadable: it is none; it says which part is wrong, and why.
    """
    complaint, reference = _read(written)
    if reference is None:
        shown = repr(written if len(written) <= 80 else f"{written[:80]}...")
        raise ImageUnreadable(f"{complaint}: {shown}")
    return reference


def image_complaint(written: str) -> str | None:
    """
    What is wrong with an image's name; None: nothing.
    """
    complaint, _ = _read(written)
    return complaint


def _read(written: str) -> tuple[str | None, ImageReference | None]:
    if not written:
        return "it is empty", None
    if len(written) > LONGEST_IMAGE:
        return f"it has more than {LONGEST_IMAGE} characters", None
    before, at, digest = written.partition("@")
    # A colon after the last slash leads to a tag; one before it, to a port.
    head, slash, last = before.rpartition("/")
    last, colon, tag = last.partition(":")
    first, _, rest = f"{head}{slash}{last}".partition("/")
    is_registry = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    registry, repository = (first, rest) if is_registry else (None, f"{head}{slash}{last}")
    complaint = (
        (None if registry is None else _registry_complaint(registry))
        or _repository_complaint(repository)
        or (_tag_complaint(tag) if colon else None)
        or (_digest_complaint(digest) if at else None)
    )
    if complaint is None and len(f"{head}{slash}{last}") > LONGEST_REPOSITORY:
        complaint = f"the name before tag and digest has more than {LONGEST_REPOSITORY} characters"
    if complaint is not None:
        return complaint, None
    return None, ImageReference(
        registry=registry, repository=repository, tag=tag if colon else None, digest=digest if at else None
    )


def _registry_complaint(registry: str) -> str | None:
    match = _REGISTRY.fullmatch(registry)
    if match is None:
        return f"{registry!r} is no registry: it is a host, perhaps with a port"
    host, port = match["host"], match["port"]
    if port is not None and not 1 <= int(port) <= _HIGHEST_PORT:
        return f"{port} is not a port: ports are 1 to {_HIGHEST_PORT}"
    if host.startswith("["):
        return None if _is_ipv6(host[1:-1]) else f"{host} is not an IPv6 address"
    return None if _HOST.fullmatch(host) else f"{host!r} is not the name of a host"


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _repository_complaint(repository: str) -> str | None:
    for component in repository.split("/"):
        if not component:
            return "the name of the repository is empty, or a part of it is"
        if component != component.lower():
            return f"{component!r} has a capital letter, and names of repositories have none"
        if not _COMPONENT.fullmatch(component):
            return (
                f"{component!r} is not made of small letters and digits, with '.', '_', '__' or '-' between them only"
            )
    if _ID.fullmatch(repository):
        return "64 hexadecimal digits are the id of an image on one host: use its name, or its digest after '@'"
    return None


def _tag_complaint(tag: str) -> str | None:
    if _TAG.fullmatch(tag):
        return None
    return f"the tag {tag!r} is not 1 to 128 letters, digits, '_', '.' or '-', beginning with a letter, digit or '_'"


def _digest_complaint(digest: str) -> str | None:
    algorithm, _, digits = digest.partition(":")
    length = _DIGEST_DIGITS.get(algorithm)
    if length is None:
        return f"the digest {digest!r} does not begin with one of {', '.join(f'{name}:' for name in _DIGEST_DIGITS)}"
    if len(digits) != length or not re.fullmatch(r"[0-9a-f]+", digits):
        return f"the digest is not {algorithm}: and {length} hexadecimal digits in lower case"
    return None
