"""
What there is to say about a certificate, for people.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509
from pyrsistent import PVector, pvector

from flocker_py.certificates import (
    VERSION_1_REMEDY,
    alternative_names,
    claimed_identity,
    cluster_of,
    fingerprint,
    identity_of,
    is_authority,
    is_version_1,
)
from flocker_py.identity import CertificateRefused, ControlIdentity, NodeIdentity, UserIdentity
from flocker_py.records import Record, sequence, value

EXPIRY_WARNING_DAYS = 30


class Report(Record):
    """
    A certificate in words: facts as (what, value), warnings about what will go wrong, and what is wrong already.
    """

    facts: PVector[tuple[str, str]] = sequence(tuple, default=())
    warnings: PVector[str] = sequence(str, default=())
    faults: PVector[str] = sequence(str, default=())
    authority: bool = value(bool)


def report(certificate: x509.Certificate, now: datetime) -> Report:
    """
    Everything an operator wants to know about a certificate.

    :param now: the current time, with its time zone, by which warnings and faults about dates are made.
    """
    faults: list[str] = []
    warnings: list[str] = []
    authority = False
    facts = [("subject", certificate.subject.rfc4514_string())]
    if is_version_1(certificate):
        faults.append(VERSION_1_REMEDY)
    try:
        cluster = cluster_of(certificate)
        # The extensions of a version 1 certificate don't count, so what it may sign must be seen from its subject.
        authority = (
            certificate.subject == certificate.issuer if is_version_1(certificate) else is_authority(certificate)
        )
        facts += [("role", "authority of the cluster")] if authority else _role(certificate)
        facts.append(("cluster", str(cluster)))
        if not authority and not is_version_1(certificate):
            identity_of(certificate, cluster)
    except CertificateRefused as refusal:
        faults.append(str(refusal))
    facts += [
        ("valid from", _moment(certificate.not_valid_before_utc)),
        ("valid until", _moment(certificate.not_valid_after_utc)),
        ("issuer", certificate.issuer.rfc4514_string()),
        ("fingerprint", f"SHA-256 {fingerprint(certificate)}"),
    ]
    names = _names(certificate)
    facts.append(("names", ", ".join(names) if names else "none"))
    left = certificate.not_valid_after_utc - now
    remedy = "Make a new authority" if authority and left < timedelta() else "Run flocker-ca renew on it"
    if now < certificate.not_valid_before_utc:
        faults.append("It is not valid yet, by the clock of this machine")
    if left < timedelta():
        faults.append(f"It has expired. {remedy}")
    elif left < timedelta(days=EXPIRY_WARNING_DAYS):
        warnings.append(f"It expires in {_days(left)}. {remedy}")
    return Report(facts=pvector(facts), warnings=pvector(warnings), faults=pvector(faults), authority=authority)


def _role(certificate: x509.Certificate) -> list[tuple[str, str]]:
    identity = claimed_identity(certificate)
    match identity:
        case NodeIdentity():
            return [("role", "node"), ("identity", str(identity.node_id))]
        case UserIdentity():
            return [("role", "user"), ("identity", identity.name)]
        case ControlIdentity():
            return [("role", "control service")]


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = alternative_names(certificate)
    except CertificateRefused:
        return []
    return [f"{_KINDS.get(type(name), type(name).__name__)}:{name.value}" for name in names]


# As openssl x509 -ext subjectAltName writes them.
_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "DNS",
    x509.IPAddress: "IP",
    x509.UniformResourceIdentifier: "URI",
}


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _days(left: timedelta) -> str:
    if left < timedelta(days=1):
        return "less than a day"
    return "1 day" if left.days == 1 else f"{left.days} days"
