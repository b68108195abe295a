"""
How names of images are read.
"""

from __future__ import annotations

import pytest

from flocker_py.images import (
    LONGEST_IMAGE,
    LONGEST_REPOSITORY,
    ImageReference,
    ImageUnreadable,
    image_complaint,
    image_reference,
)

SHA256 = f"sha256:{'0123456789abcdef' * 4}"
SHA512 = f"sha512:{'0123456789abcdef' * 8}"


@pytest.mark.parametrize(
    ("written", "registry", "repository", "tag", "digest"),
    [
        ("postgres", None, "postgres", None, None),
        ("postgres:16", None, "postgres", "16", None),
        ("library/postgres:16", None, "library/postgres", "16", None),
        ("registry:5000/db", "registry:5000", "db", None, None),
        ("registry:5000/db:1", "registry:5000", "db", "1", None),
        ("registry:5000/team/db:1.2-a_b", "registry:5000", "team/db", "1.2-a_b", None),
        ("registry.example/db", "registry.example", "db", None, None),
        ("registry/db", None, "registry/db", None, None),
        ("localhost/db", "localhost", "db", None, None),
        ("localhost:5000/db", "localhost:5000", "db", None, None),
        ("Registry/db", "Registry", "db", None, None),
        ("192.0.2.1:5000/db", "192.0.2.1:5000", "db", None, None),
        ("[2001:db8::1]:5000/db", "[2001:db8::1]:5000", "db", None, None),
        ("[2001:db8::1]/db", "[2001:db8::1]", "db", None, None),
        ("a_b/c__d/e--f/g.h", None, "a_b/c__d/e--f/g.h", None, None),
        (f"db@{SHA256}", None, "db", None, SHA256),
        (f"db@{SHA512}", None, "db", None, SHA512),
        (f"registry:5000/db@{SHA256}", "registry:5000", "db", None, SHA256),
        (f"registry:5000/db:16@{SHA256}", "registry:5000", "db", "16", SHA256),
    ],
)
def test_parts(written: str, registry: str | None, repository: str, tag: str | None, digest: str | None) -> None:
    """
    A name is read in its parts: a colon before the last slash belongs to the registry, one after it to the tag.
    """
    expected = ImageReference(registry=registry, repository=repository, tag=tag, digest=digest)

    assert (image_reference(written), image_complaint(written)) == (expected, None)


@pytest.mark.parametrize(
    "written", ["db", "db:16", "registry:5000/db", f"db@{SHA256}", f"registry:5000/team/db:16@{SHA256}"]
)
def test_text(written: str) -> None:
    """
    The parts together are what was written.
    """
    assert image_reference(written).text == written


@pytest.mark.parametrize(
    ("written", "name", "asked_for", "pinned"),
    [
        ("db", "db", "latest", False),
        ("registry:5000/db:16", "registry:5000/db", "16", False),
        (f"r.example/db:16@{SHA256}", "r.example/db", SHA256, True),
    ],
)
def test_what_is_asked_for(written: str, name: str, asked_for: str, pinned: bool) -> None:
    """
    A registry is asked for the digest before the tag, and for ``latest`` where there is neither.
    """
    reference = image_reference(written)

    assert (reference.name, reference.asked_for, reference.pinned) == (name, asked_for, pinned)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "empty"),
        ("a" * (LONGEST_IMAGE + 1), f"more than {LONGEST_IMAGE} characters"),
        ("a" * (LONGEST_REPOSITORY + 1), f"more than {LONGEST_REPOSITORY} characters"),
        ("Postgres:16", "'Postgres' has a capital letter"),
        ("team/DB", "'DB' has a capital letter"),
        ("db:", "the tag ''"),
        (":16", "repository is empty"),
        ("db:-16", "the tag '-16'"),
        ("db:1:2", "the tag '1:2'"),
        (f"db:{'a' * 129}", "the tag"),
        ("/db", "repository is empty"),
        ("db/", "repository is empty"),
        ("team//db", "repository is empty"),
        ("localhost:5000/", "repository is empty"),
        ("-db", "'-db' is not made of"),
        ("db-", "'db-' is not made of"),
        ("d___b", "'d___b' is not made of"),
        ("my db", "'my db' is not made of"),
        ("db\n", "is not made of"),
        ("dé", "is not made of"),
        ("https://registry.example/db", "is no registry"),
        ("registry:port/db", "is no registry"),
        ("registry:0/db", "0 is not a port"),
        ("registry:65536/db", "65536 is not a port"),
        ("-registry.example/db", "is not the name of a host"),
        ("[2001:db8::g]:5000/db", "is no registry"),
        ("[2001:db8:::1]:5000/db", "is not an IPv6 address"),
        ("a" * 64, "id of an image"),
        ("db@", "does not begin with one of sha256:"),
        ("db@md5:0123", "does not begin with one of sha256:"),
        ("db@sha256:0123", "64 hexadecimal digits"),
        (f"db@{SHA256.upper().replace('SHA', 'sha')}", "64 hexadecimal digits"),
        (f"db@{SHA256}@{SHA256}", "64 hexadecimal digits"),
        (f"db@sha256:{'g' * 64}", "64 hexadecimal digits"),
    ],
)
def test_refused(written: str, reason: str) -> None:
    """
    What is no name of an image is refused, with the part that is wrong.
    """
    with pytest.raises(ImageUnreadable, match=reason):
        image_reference(written)

    assert reason in (image_complaint(written) or "")
