"""
What a TLS handshake decides, and in what words: who is let through, and what the other side's refusal means.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from uuid import UUID

from cryptography import x509
from OpenSSL import SSL, crypto
from OpenSSL.SSL import X509VerificationCodes as Codes

from flocker_py.certificates import identity_of, is_version_1
from flocker_py.identity import CertificateRefused, Identity, identity_text, role_text

# OpenSSL's verdicts on a chain that an operator meets.
_VERDICTS = {
    Codes.ERR_CERT_NOT_YET_VALID: "it is not valid yet; compare the clocks of both hosts",
    Codes.ERR_CERT_HAS_EXPIRED: "it has expired; flocker-ca renew makes it last longer",
    Codes.ERR_CERT_SIGNATURE_FAILURE: "it was signed by another authority, perhaps one of the same name",
    Codes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "it is signed by itself, not by the cluster's authority",
    Codes.ERR_SELF_SIGNED_CERT_IN_CHAIN: "it is signed by another cluster's authority",
    Codes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "it is not signed by the cluster's authority",
    Codes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: "it is not signed by the cluster's authority",
    Codes.ERR_CERT_REVOKED: "it has been revoked; flocker-ca makes a new one, with a new key",
    Codes.ERR_INVALID_PURPOSE: "it is not made for this side of a connection",
}

# The alerts by which the other side ends a handshake (RFC 8446, section 6.2), in the words OpenSSL reports them with:
# it gives Python no other name for them. The order matters: the first that occurs in the report counts.
_ALERTS = (
    ("alert certificate required", "it demands a certificate, and none was shown"),
    ("alert certificate expired", "our certificate has expired by its clock; flocker-ca renew makes it last longer"),
    ("alert certificate revoked", "our certificate has been revoked; flocker-ca makes a new one, with a new key"),
    ("alert unknown ca", "our certificate is not signed by its cluster's authority"),
    ("alert decrypt error", "our certificate is signed by another authority, perhaps one of the same name"),
    ("alert bad certificate", "our certificate is not valid there; compare the clocks of both hosts"),
    ("alert unsupported certificate", "our certificate is not made for this use"),
    # What OpenSSL sends when our own check of the role says no.
    ("alert internal error", "our certificate is good, but not for this port: another role's is needed"),
    ("alert certificate unknown", "our certificate is not accepted there"),
    ("alert handshake failure", "our certificate or cipher is not accepted there"),
    ("alert protocol version", "it speaks other versions of TLS"),
    ("wrong version number", "it does not speak TLS at all on this port"),
    ("packet length too long", "it does not speak TLS at all on this port"),
)


def verify_callback(
    cluster_id: UUID,
    wanted: type[Identity],
    usage: x509.ObjectIdentifier,
    refuse: Callable[[CertificateRefused], None],
) -> Callable[[SSL.Connection, crypto.X509, int, int, int], bool]:
    """
    What ``SSL.Connection.set_verify`` calls for each certificate of the chain: says no unless OpenSSL's own, strict
    verification has passed and the leaf is for the wanted role in the cluster.

    :param usage: the extended key usage the leaf must have.
    :param refuse: told the reason, before the handshake fails; must not raise.
    """

    def verify(_connection: SSL.Connection, certificate: crypto.X509, verdict: int, depth: int, good: int) -> bool:
        try:
            if not good:
                raise CertificateRefused(_chain_refusal(certificate.to_cryptography(), verdict, depth))
            # The authority's name must not count: only the leaf says who is calling.
            if depth == 0:
                identity = identity_of(certificate.to_cryptography(), cluster_id, usage)
                if not isinstance(identity, wanted):
                    raise CertificateRefused(
                        f"The other side is {identity_text(identity)}, but it must be {role_text(wanted)}"
                    )
        except CertificateRefused as refusal:
            refuse(refusal)
            return False
        except Exception as error:  # noqa: BLE001  # raised into OpenSSL it would be lost; what can't be read is refused
            refuse(CertificateRefused(f"The other side's certificate cannot be read: {error!r}"))
            return False
        return True

    return verify


def tls_failure_text(error: BaseException) -> str | None:
    """
    Why a TLS connection was refused, for the operator of the refused side; None if the error is not about TLS.

    With TLS 1.3 a client learns of a refusal only when it first reads, so look at what ended the connection too.

    :param error: what a connection attempt, a read, ``connectionLost`` or an HTTP request gave.
    """
    # Twisted's HTTP client gives a list of failures in place of the one that ended the connection.
    for failure in getattr(error, "reasons", ()):
        text = tls_failure_text(failure.value)
        if text is not None:
            return text
    if isinstance(error, CertificateRefused):
        return f"The other side was refused: {error}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The other side was refused: {error.verify_message}"
    if isinstance(error, SSL.Error):
        entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
        report = " ".join(str(entry[-1]) for entry in entries)
    elif isinstance(error, ssl.SSLError):
        report = (error.reason or str(error)).replace("_", " ").lower()
    else:
        return None
    for words, meaning in _ALERTS:
        if words in report:
            return f"The other side refused: {meaning}. Its log has the details"
    return f"The TLS handshake failed: {report or error!r}"


def _chain_refusal(certificate: x509.Certificate, verdict: int, depth: int) -> str:
    name = certificate.subject.rfc4514_string()
    which = f"certificate of {name}" if depth == 0 else f"certificate authority {name}"
    # Most other verdicts come from strictness (RFC 5280), which X.509 version 1 can't satisfy.
    why = _VERDICTS.get(verdict, f"strict verification refuses it with OpenSSL's verdict {verdict}")
    if is_version_1(certificate):
        why = "it is an X.509 version 1 certificate, as Flocker 1.x made them; make a new one with flocker-ca"
    return f"The other side's {which} is refused: {why}"
