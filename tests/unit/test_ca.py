"""
The certificates a cluster's authority makes, and what is said about them; all in memory.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import crypto

from flocker_admin.certificate_report import Report, report
from flocker_py.certificates import CLIENT_AUTH, SERVER_AUTH, alternative_names, identity_of, usages_of
from flocker_py.identity import CertificateRefused, ControlIdentity, Identity, NodeIdentity, UserIdentity, common_name
from flocker_py.issuing import KeyedCertificate, NotIssued, general_name, issued, made_authority, renewed
from flocker_py.issuing import renewed_authority as later_authority
from flocker_py.model import NodeId
from flocker_py.testing.forgeries import as_version_1, odd_certificate

CLUSTER = UUID("8a1e7d2c-5a4f-4d0e-9d57-0a6d2a1b3c4d")
OTHER = UUID("11111111-5a4f-4d0e-9d57-0a6d2a1b3c4d")
NODE = NodeIdentity(node_id=NodeId(UUID("3f2b6c1e-0f5c-4a58-8f7e-6f1f5b6f0a01")))
USER = UserIdentity(name="alice")
CONTROL = ControlIdentity()
ROLES: list[Identity] = [CONTROL, NODE, USER]
NOW = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)

AUTHORITY = made_authority("production", CLUSTER, NOW)


def strict_verdict(authority: x509.Certificate, certificate: x509.Certificate, when: datetime = NOW) -> str:
    """
    What OpenSSL says under the flags that are Python 3.13's default.
    """
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(authority))
    store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    store.set_time(when)
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(certificate)).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error)
    return "good"


@pytest.mark.parametrize("identity", ROLES, ids=common_name)
def test_a_certificate_passes_strict_verification(identity: Identity) -> None:
    """
    Python 3.13 and later, whose default is strict, accept every role's certificate.
    """
    certificate = issued(AUTHORITY, identity, NOW, hosts=["ctl.example", "192.0.2.1", "2001:db8::1"]).certificate

    assert strict_verdict(AUTHORITY.certificate, certificate) == "good"


def test_the_authority_passes_strict_verification() -> None:
    """
    The authority's own certificate is as strict verification wants it.
    """
    assert strict_verdict(AUTHORITY.certificate, AUTHORITY.certificate) == "good"


@pytest.mark.parametrize("identity", ROLES, ids=common_name)
def test_a_certificate_is_its_holders(identity: Identity) -> None:
    """
    A certificate is read as the identity it was made for, in its authority's cluster.
    """
    certificate = issued(AUTHORITY, identity, NOW).certificate

    assert identity_of(certificate, CLUSTER) == identity


def test_flockers_subjects() -> None:
    """
    The subject is CN and OU as Flocker wrote them, so tools that read them go on working.
    """
    certificate = issued(AUTHORITY, NODE, NOW).certificate

    assert [(name.oid.dotted_string, name.value) for name in certificate.subject] == [
        ("2.5.4.3", f"node-{NODE.node_id}"),
        ("2.5.4.11", str(CLUSTER)),
    ]


@pytest.mark.parametrize(
    ("identity", "usages"),
    [(CONTROL, {SERVER_AUTH}), (NODE, {SERVER_AUTH, CLIENT_AUTH}), (USER, {CLIENT_AUTH})],
    ids=["control", "node", "user"],
)
def test_usages(identity: Identity, usages: set[x509.ObjectIdentifier]) -> None:
    """
    Control only serves, a user only calls, and a node does both.
    """
    assert usages_of(issued(AUTHORITY, identity, NOW).certificate) == usages


def test_control_is_known_by_its_fixed_name_and_every_host() -> None:
    """
    The control service's certificate has Flocker's fixed name first, then each name and address once.
    """
    hosts = ["ctl.example", "192.0.2.1", "2001:db8::1", "CTL.example"]
    certificate = issued(AUTHORITY, CONTROL, NOW, hosts=hosts).certificate

    assert alternative_names(certificate) == (
        x509.DNSName("control-service"),
        x509.DNSName("ctl.example"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
    )


def test_a_nodes_alternative_names() -> None:
    """
    A node's certificate names the node, as DNS name and as URI, and no host.
    """
    certificate = issued(AUTHORITY, NODE, NOW).certificate

    assert alternative_names(certificate) == (
        x509.DNSName(f"node-{NODE.node_id}"),
        x509.UniformResourceIdentifier(f"urn:uuid:{NODE.node_id}"),
    )


def test_the_key_is_ecdsa_p256() -> None:
    """
    Keys are ECDSA over P-256.
    """
    key = issued(AUTHORITY, NODE, NOW).certificate.public_key()

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_the_authority_signs_no_other_authority() -> None:
    """
    The authority's path length is 0, and it says so critically.
    """
    extension = AUTHORITY.certificate.extensions.get_extension_for_class(x509.BasicConstraints)

    assert (extension.critical, extension.value) == (True, x509.BasicConstraints(ca=True, path_length=0))


@pytest.mark.parametrize(
    ("certificate", "years"),
    [(AUTHORITY.certificate, 10), (issued(AUTHORITY, NODE, NOW).certificate, 1)],
    ids=["authority", "node"],
)
def test_lifetimes(certificate: x509.Certificate, years: int) -> None:
    """
    An authority lasts ten years and everything else one, from now on.
    """
    assert certificate.not_valid_after_utc == NOW + timedelta(days=365 * years)


def test_a_certificate_is_good_on_a_host_whose_clock_is_behind() -> None:
    """
    Half an hour of difference between clocks does not make a new certificate not yet valid.
    """
    certificate = issued(AUTHORITY, NODE, NOW).certificate

    assert strict_verdict(AUTHORITY.certificate, certificate, NOW - timedelta(minutes=30)) == "good"


def test_no_certificate_outlasts_its_authority() -> None:
    """
    A lifetime is cut where the authority's ends.
    """
    certificate = issued(AUTHORITY, NODE, NOW, lifetime_days=5000).certificate

    assert certificate.not_valid_after_utc == AUTHORITY.certificate.not_valid_after_utc


def test_an_expired_authority_signs_nothing() -> None:
    """
    What an expired authority would sign is worth nothing, so it is refused.
    """
    with pytest.raises(NotIssued, match="authority expired at 2040-05-03 07:08 UTC"):
        issued(AUTHORITY, NODE, NOW + timedelta(days=3650))


@pytest.mark.parametrize("days", [0, -1, 10_000_000])
def test_an_impossible_lifetime(days: int) -> None:
    """
    A lifetime is at least one day, and ends before dates do.
    """
    with pytest.raises(NotIssued, match="lifetime"):
        made_authority("production", CLUSTER, NOW, days)


BAD_HOSTS = [
    "",
    " ",
    "a b",
    "-a",
    "a-",
    "a..b",
    ".a",
    "a.",
    "*",
    "*.example",
    "300.1.1.1",
    "1.2.3",
    "::g",
    "a/b",
    "é.fr",
]


@pytest.mark.parametrize("host", [*BAD_HOSTS, "x" * 64, "a." * 127 + "a"], ids=repr)
def test_neither_name_nor_address(host: str) -> None:
    """
    What can't be looked up or dialled does not get into a certificate.
    """
    with pytest.raises(NotIssued, match="neither a host name nor"):
        general_name(host)


class TestRenewal:
    """
    A renewed certificate is the old one, but for its dates.
    """

    LATER = NOW + timedelta(days=300)

    @pytest.mark.parametrize("identity", ROLES, ids=common_name)
    def test_keeps_who_it_is(self, identity: Identity) -> None:
        """
        Subject, names, usages and key stay; the key file need not change.
        """
        old = issued(AUTHORITY, identity, NOW, hosts=["ctl.example", "192.0.2.1"]).certificate

        new = renewed(AUTHORITY, old, self.LATER)

        assert (new.subject, alternative_names(new), usages_of(new), new.public_key()) == (
            old.subject,
            alternative_names(old),
            usages_of(old),
            old.public_key(),
        )

    def test_lasts_longer(self) -> None:
        """
        The new certificate counts from its renewal.
        """
        new = renewed(AUTHORITY, issued(AUTHORITY, NODE, NOW).certificate, self.LATER)

        assert new.not_valid_after_utc == self.LATER + timedelta(days=365)

    def test_passes_strict_verification(self) -> None:
        """
        A renewed certificate is as good as a new one.
        """
        new = renewed(AUTHORITY, issued(AUTHORITY, NODE, NOW).certificate, self.LATER)

        assert strict_verdict(AUTHORITY.certificate, new, self.LATER) == "good"

    def test_works_after_expiry(self) -> None:
        """
        A certificate that has expired already can be renewed.
        """
        old = issued(AUTHORITY, NODE, NOW).certificate
        long_after = NOW + timedelta(days=1000)

        assert strict_verdict(AUTHORITY.certificate, renewed(AUTHORITY, old, long_after), long_after) == "good"

    def test_of_another_clusters_certificate(self) -> None:
        """
        An authority does not renew what belongs to another cluster.
        """
        foreign = issued(made_authority("production", OTHER, NOW), NODE, NOW).certificate

        with pytest.raises(NotIssued, match=f"belongs to cluster {OTHER}"):
            renewed(AUTHORITY, foreign, NOW)

    def test_of_an_impostors_certificate(self) -> None:
        """
        An authority does not sign what another of the same name and cluster id has signed.
        """
        foreign = issued(made_authority("production", CLUSTER, NOW), NODE, NOW).certificate

        with pytest.raises(NotIssued, match="not signed by this authority"):
            renewed(AUTHORITY, foreign, NOW)

    def test_of_the_authority(self) -> None:
        """
        What the authority has signed stays good with its renewed certificate.
        """
        certificate = issued(AUTHORITY, NODE, NOW).certificate

        later = later_authority(AUTHORITY, self.LATER).certificate

        assert strict_verdict(later, certificate, self.LATER) == "good"


def refusal(keyed: KeyedCertificate, usage: x509.ObjectIdentifier | None = None) -> str:
    """
    Why a certificate is nobody's in the cluster.
    """
    with pytest.raises(CertificateRefused) as refused:
        identity_of(keyed.certificate, CLUSTER, usage)
    return str(refused.value)


class TestOddCertificates:
    """
    The authority's signature alone makes nobody.
    """

    def test_without_extended_key_usage(self) -> None:
        """
        OpenSSL takes a certificate without the extension for any use; we don't.
        """
        odd = odd_certificate(AUTHORITY, common_names=["user-alice"], cluster_ids=[CLUSTER])

        assert "lacks the extended key usage clientAuth" in refusal(odd, CLIENT_AUTH)

    def test_with_two_common_names(self) -> None:
        """
        A certificate that two readers could take for two parties is refused.
        """
        names = ["user-alice", f"node-{NODE.node_id}"]
        odd = odd_certificate(AUTHORITY, common_names=names, cluster_ids=[CLUSTER], usages=[CLIENT_AUTH])

        assert "exactly one common name; it has 2" in refusal(odd)

    def test_with_two_clusters(self) -> None:
        """
        Nobody is of two clusters.
        """
        odd = odd_certificate(
            AUTHORITY, common_names=["user-alice"], cluster_ids=[CLUSTER, OTHER], usages=[CLIENT_AUTH]
        )

        assert "exactly one organizational unit; it has 2" in refusal(odd)

    def test_that_could_sign(self) -> None:
        """
        A certificate authority is no user, whatever it is called.
        """
        odd = odd_certificate(
            AUTHORITY, common_names=["user-alice"], cluster_ids=[CLUSTER], usages=[CLIENT_AUTH], is_authority=True
        )

        assert "is a certificate authority's" in refusal(odd)

    def test_of_control_without_its_name(self) -> None:
        """
        The fixed name that Flocker's own clients look for must be there.
        """
        odd = odd_certificate(
            AUTHORITY,
            common_names=["control-service"],
            cluster_ids=[CLUSTER],
            usages=[SERVER_AUTH],
            dns_names=["ctl.example"],
        )

        assert "lacks the alternative name DNS:control-service" in refusal(odd)

    def test_of_version_1(self) -> None:
        """
        A certificate as Flocker 1.x made it is refused in words that say so.
        """
        assert "X.509 version 1" in refusal(as_version_1(AUTHORITY, issued(AUTHORITY, USER, NOW)))


def facts(said: Report) -> dict[str, str]:
    return dict(said.facts)


class TestReport:
    """
    What flocker-ca show has to say.
    """

    def test_of_a_node(self) -> None:
        """
        Role, identity, cluster and dates are in the report, and nothing is wrong with a new certificate.
        """
        said = report(issued(AUTHORITY, NODE, NOW).certificate, NOW)

        assert (
            facts(said)["role"],
            facts(said)["identity"],
            facts(said)["cluster"],
            facts(said)["valid until"],
            [*said.warnings, *said.faults],
        ) == ("node", str(NODE.node_id), str(CLUSTER), "2031-05-06 07:08:09 UTC", [])

    def test_of_the_authority(self) -> None:
        """
        The authority is known as such.
        """
        assert facts(report(AUTHORITY.certificate, NOW))["role"] == "authority of the cluster"

    def test_names(self) -> None:
        """
        Alternative names are written as openssl writes them.
        """
        said = report(issued(AUTHORITY, CONTROL, NOW, hosts=["ctl.example", "2001:db8::1"]).certificate, NOW)

        assert facts(said)["names"] == "DNS:control-service, DNS:ctl.example, IP:2001:db8::1"

    @pytest.mark.parametrize(
        ("days_later", "warnings"),
        [
            (335, []),
            (336, ["It expires in 29 days. Run flocker-ca renew on it"]),
            (364, ["It expires in 1 day. Run flocker-ca renew on it"]),
        ],
    )
    def test_warns_of_expiry(self, days_later: int, warnings: list[str]) -> None:
        """
        The warning comes in the last thirty days, with the remedy.
        """
        said = report(issued(AUTHORITY, NODE, NOW).certificate, NOW + timedelta(days=days_later))

        assert list(said.warnings) == warnings

    def test_of_an_expired_certificate(self) -> None:
        """
        An expired certificate is at fault.
        """
        said = report(issued(AUTHORITY, NODE, NOW).certificate, NOW + timedelta(days=366))

        assert list(said.faults) == ["It has expired. Run flocker-ca renew on it"]

    def test_of_a_future_certificate(self) -> None:
        """
        A certificate that is not valid yet is at fault, by this machine's clock.
        """
        said = report(issued(AUTHORITY, NODE, NOW).certificate, NOW - timedelta(days=1))

        assert list(said.faults) == ["It is not valid yet, by the clock of this machine"]

    @pytest.mark.parametrize("identity", ROLES, ids=common_name)
    def test_of_version_1(self, identity: Identity) -> None:
        """
        A certificate of Flocker 1.x is still read, and the report says what to do.
        """
        said = report(as_version_1(AUTHORITY, issued(AUTHORITY, identity, NOW)).certificate, NOW)

        assert [fault for fault in said.faults if "X.509 version 1" in fault and "create-node-certificate" in fault]

    def test_of_somebody_elses_certificate(self) -> None:
        """
        A certificate of no cluster is reported, not a crash.
        """
        odd = odd_certificate(AUTHORITY, common_names=["www.example"], cluster_ids=["Web department"])

        assert "not the id of a cluster" in " ".join(report(odd.certificate, NOW).faults)
