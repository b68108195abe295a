"""
``flocker-ca``, as an operator runs it.
"""

from __future__ import annotations

import re
import shutil
import ssl
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from OpenSSL import crypto

from flocker_admin import ca
from flocker_admin.ca_command import main
from flocker_py.credentials import load_credential
from flocker_py.identity import ControlIdentity, Identity, NodeIdentity, UserIdentity
from flocker_py.issuing import KeyedCertificate, certificate_pem, issued
from flocker_py.model import NodeId
from flocker_py.revocations import read_revocations
from flocker_py.testing.forgeries import as_version_1

NOW = datetime.now(UTC)
ALICE = UserIdentity(name="alice")
NODE_ID = "3f2b6c1e-0f5c-4a58-8f7e-6f1f5b6f0a01"


def flocker_ca(*arguments: str | Path) -> Result:
    """
    What one run of the command gave.
    """
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def ancestors_files(folder: Path) -> None:
    """
    An authority and a node's certificate as Flocker 1.x made them, by the same library.
    """
    made: dict[str, tuple[crypto.X509, crypto.PKey]] = {}
    for file, name in (("cluster", "prod"), ("node", f"node-{NODE_ID}")):
        key = crypto.PKey()
        key.generate_key(crypto.TYPE_RSA, 2048)
        certificate = crypto.X509()
        certificate.set_version(0)
        certificate.set_serial_number(len(made) + 1)
        subject = certificate.get_subject()
        subject.CN, subject.OU = name, str(uuid4())
        certificate.gmtime_adj_notBefore(0)
        certificate.gmtime_adj_notAfter(20 * 365 * 86400)
        certificate.set_pubkey(key)
        made[file] = (certificate, key)
        issuer, issuer_key = made["cluster"]
        certificate.set_issuer(issuer.get_subject())
        certificate.sign(issuer_key, "sha256")
        (folder / f"{file}.crt").write_bytes(crypto.dump_certificate(crypto.FILETYPE_PEM, certificate))
        (folder / f"{file}.key").write_bytes(crypto.dump_privatekey(crypto.FILETYPE_PEM, key))
        (folder / f"{file}.key").chmod(0o600)


def listed(folder: Path) -> set[str]:
    """
    Every file in a folder, hidden ones too.
    """
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def openssl(require: Callable[[str, str], None]) -> str:
    """
    The openssl command.
    """
    found = shutil.which("openssl")
    if found is None:
        require("openssl", "there is no openssl command on this machine")
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """
    A folder with an authority in it.
    """
    assert flocker_ca("initialize", "production", "-o", tmp_path).exit_code == 0
    return tmp_path


def authority(folder: Path) -> KeyedCertificate:
    """
    The authority in a folder.
    """
    return ca.opened_authority(folder)


def loaded(path: Path) -> x509.Certificate:
    """
    The certificate in a file.
    """
    return x509.load_pem_x509_certificate(path.read_bytes())


# What each command that makes something is given, and what it makes.
CREATIONS = [
    (("create-control-certificate", "ctl.example"), "control-ctl.example"),
    (
        ("create-control-certificate", "192.0.2.1", "--also", "ctl.example", "--also", "2001:db8::1"),
        "control-192.0.2.1",
    ),
    (("create-control-certificate", "2001:db8::1"), "control-2001:db8::1"),
    (("create-node-certificate", NODE_ID), NODE_ID),
    (("create-api-certificate", "alice"), "alice"),
]
COMMANDS = pytest.mark.parametrize(("command", "name"), CREATIONS, ids=[" ".join(command) for command, _ in CREATIONS])


class TestCreation:
    """
    New authorities and certificates.
    """

    def test_initialize_makes_three_files(self, folder: Path) -> None:
        """
        An authority is cluster.crt, cluster.key and the list of what it has signed; nothing else is left.
        """
        assert listed(folder) == {"cluster.crt", "cluster.key", "cluster.issued"}

    @COMMANDS
    def test_file_names(self, folder: Path, command: tuple[str, ...], name: str) -> None:
        """
        Files are called as Flocker called them.
        """
        before = listed(folder)

        result = flocker_ca(*command, "-i", folder, "-o", folder)

        assert (result.exit_code, listed(folder) - before) == (0, {f"{name}.crt", f"{name}.key"}), result.output

    @COMMANDS
    def test_keys_are_private(self, folder: Path, command: tuple[str, ...], name: str) -> None:
        """
        Nobody but the owner can read a key, whatever the umask.
        """
        flocker_ca(*command, "-i", folder, "-o", folder)

        modes = {path: stat.S_IMODE((folder / path).stat().st_mode) for path in (f"{name}.key", "cluster.key")}
        assert modes == {f"{name}.key": 0o600, "cluster.key": 0o600}

    @COMMANDS
    def test_openssl_verifies_strictly(self, openssl: str, folder: Path, command: tuple[str, ...], name: str) -> None:
        """
        openssl verify -x509_strict says OK.
        """
        flocker_ca(*command, "-i", folder, "-o", folder)

        verdict = subprocess.run(
            [openssl, "verify", "-x509_strict", "-CAfile", folder / "cluster.crt", folder / f"{name}.crt"],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (verdict.returncode, verdict.stdout.strip()) == (0, f"{folder / name}.crt: OK")

    @COMMANDS
    def test_python_loads_the_pair(self, folder: Path, command: tuple[str, ...], name: str) -> None:
        """
        Python's ssl takes certificate and key as a pair.
        """
        flocker_ca(*command, "-i", folder, "-o", folder)

        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")

    @pytest.mark.parametrize(
        ("command", "created", "installed", "identity"),
        [
            (("create-control-certificate", "ctl"), "control-ctl", "control-service", ControlIdentity()),
            (("create-node-certificate", NODE_ID), NODE_ID, "node", NodeIdentity(node_id=NodeId(UUID(NODE_ID)))),
            (("create-api-certificate", "alice"), "alice", "user", ALICE),
        ],
        ids=["control", "node", "user"],
    )
    def test_programs_take_them(  # noqa: PLR0917
        self, folder: Path, tmp_path: Path, command: tuple[str, ...], created: str, installed: str, identity: Identity
    ) -> None:
        """
        Copied under the installed name, with cluster.crt, the files are a program's credential.
        """
        flocker_ca(*command, "-i", folder, "-o", folder)
        place = tmp_path / "etc"
        place.mkdir()
        shutil.copy(folder / "cluster.crt", place)
        shutil.copy(folder / f"{created}.crt", place / f"{installed}.crt")
        shutil.copy(folder / f"{created}.key", place / f"{installed}.key")

        assert load_credential(place, installed).identity == identity

    def test_a_node_id_is_drawn(self, folder: Path) -> None:
        """
        Without a UUID each node certificate is another node's.
        """
        for _ in range(2):
            assert flocker_ca("create-node-certificate", "-i", folder, "-o", folder).exit_code == 0

        assert len({UUID(path.stem) for path in folder.glob("*-*.crt")}) == 2

    def test_paths_default_to_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Without -i and -o, everything happens here.
        """
        monkeypatch.chdir(tmp_path)

        codes = [
            flocker_ca(*command).exit_code
            for command in (("initialize", "c"), ("create-api-certificate", "alice"), ("show", "alice.crt"))
        ]

        assert codes == [0, 0, 0]

    def test_days(self, folder: Path) -> None:
        """
        A lifetime can be chosen.
        """
        flocker_ca("create-api-certificate", "alice", "--days", "7", "-i", folder, "-o", folder)

        left = loaded(folder / "alice.crt").not_valid_after_utc - datetime.now(UTC)
        assert timedelta(days=6, hours=23) < left <= timedelta(days=7)

    def test_two_clusters_of_one_name_are_two(self, tmp_path: Path) -> None:
        """
        A cluster is its id, not its name.
        """
        ids = set()
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            flocker_ca("initialize", "production", "-o", tmp_path / name)
            ids.add(loaded(tmp_path / name / "cluster.crt").subject.rfc4514_string())

        assert len(ids) == 2


class TestRefusals:
    """
    What can't be done is said, and nothing has changed.
    """

    @COMMANDS
    @pytest.mark.parametrize("suffix", ["crt", "key"])
    def test_no_file_is_overwritten(self, folder: Path, command: tuple[str, ...], name: str, suffix: str) -> None:
        """
        If either file exists, it stays as it is and the other is not made.
        """
        (folder / f"{name}.{suffix}").write_text("precious")
        before = listed(folder)

        result = flocker_ca(*command, "-i", folder, "-o", folder)

        assert (result.exit_code, listed(folder), (folder / f"{name}.{suffix}").read_text()) == (1, before, "precious")
        assert f"{folder / name}.{suffix} exists. Nothing was written." in result.stderr

    @pytest.mark.parametrize("suffix", ["crt", "key"])
    def test_no_authority_is_overwritten(self, tmp_path: Path, suffix: str) -> None:
        """
        initialize never replaces a cluster's key or certificate.
        """
        (tmp_path / f"cluster.{suffix}").write_text("precious")

        result = flocker_ca("initialize", "again", "-o", tmp_path)

        assert (result.exit_code, listed(tmp_path)) == (1, {f"cluster.{suffix}"})

    def test_at_the_same_time(self, folder: Path) -> None:
        """
        Of several runs at once for the same name one makes the files, and its key and certificate are a pair.
        """
        own, starting = authority(folder), threading.Barrier(8)

        def run() -> bool:
            starting.wait(10)
            try:
                ca.create(own, folder, ALICE, NOW, 1, ledger=folder)
            except ca.AlreadyThere:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            made = [run.result() for run in [pool.submit(run) for _ in range(8)]]

        assert (made.count(True), load_credential(folder, "alice").identity) == (1, ALICE)

    def test_a_dangling_link_is_not_followed(self, folder: Path, tmp_path: Path) -> None:
        """
        A link where the file would be is as good as a file: no key is written to where it points.
        """
        (folder / "alice.key").symlink_to(tmp_path / "elsewhere")

        result = flocker_ca("create-api-certificate", "alice", "-i", folder, "-o", folder)

        assert (result.exit_code, (tmp_path / "elsewhere").exists()) == (1, False)

    def test_a_missing_output_folder(self, folder: Path) -> None:
        """
        The folder to write to must exist.
        """
        result = flocker_ca("create-api-certificate", "alice", "-i", folder, "-o", folder / "nowhere")

        assert result.exit_code == 1
        assert f"{folder / 'nowhere' / 'alice.key'}: No such file or directory" in result.stderr

    def test_a_missing_authority(self, tmp_path: Path) -> None:
        """
        The missing file is named, with the option and the command that help.
        """
        result = flocker_ca("create-api-certificate", "alice", "-i", tmp_path)

        assert result.exit_code == 1
        assert re.search(r"cluster\.crt: there is no such file.*--inputpath.*flocker-ca initialize", result.stderr)

    def test_an_authoritys_key_that_others_can_read(self, folder: Path) -> None:
        """
        A key that was open to others is not used as if nothing had happened.
        """
        (folder / "cluster.key").chmod(0o644)

        result = flocker_ca("create-api-certificate", "alice", "-i", folder, "-o", folder)

        assert (result.exit_code, listed(folder)) == (1, {"cluster.crt", "cluster.key", "cluster.issued"})
        assert "its mode is 0644" in result.stderr

    def test_another_authoritys_key(self, folder: Path, tmp_path: Path) -> None:
        """
        Certificate and key of two authorities sign nothing.
        """
        (tmp_path / "other").mkdir()
        flocker_ca("initialize", "other", "-o", tmp_path / "other")
        shutil.copy(tmp_path / "other" / "cluster.key", folder)

        result = flocker_ca("create-api-certificate", "alice", "-i", folder, "-o", folder)

        assert result.exit_code == 1
        assert "this key does not belong to" in result.stderr

    # No other library of today still makes such certificates.
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    @pytest.mark.parametrize(
        "arguments",
        [
            ("create-control-certificate", "ctl.example"),
            ("create-node-certificate", NODE_ID),
            ("create-api-certificate", "alice"),
            ("renew", "node.crt"),
            ("revoke", "node.crt"),
            ("list",),
        ],
        ids=lambda it: it[0],
    )
    def test_a_folder_of_flocker_1(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        """
        With the files that Flocker 1.x made, RSA and X.509 version 1, nothing is done, and the error says what to do.
        """
        ancestors_files(tmp_path)
        monkeypatch.chdir(tmp_path)
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

        result = flocker_ca(*arguments)

        assert (result.exit_code, {path.name: path.read_bytes() for path in tmp_path.iterdir()}) == (1, before)
        assert re.search(
            r"cluster\.crt: It is an X\.509 version 1 certificate, as Flocker 1\.x made them.*Make a new cluster"
            r" authority and new certificates with flocker-ca; node ids can be kept: flocker-ca create-node",
            result.stderr,
        )

    def test_an_authority_of_flocker_1(self, folder: Path) -> None:
        """
        An authority that is X.509 version 1 signs nothing: its certificates would be refused everywhere.
        """
        own = authority(folder)
        (folder / "cluster.crt").write_bytes(certificate_pem(as_version_1(own, own).certificate))

        result = flocker_ca("create-node-certificate", NODE_ID, "-i", folder, "-o", folder)

        assert result.exit_code == 1
        assert "X.509 version 1" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("create-control-certificate", "300.1.1.1"), "neither a host name nor an IPv4 or IPv6 address"),
            (("create-control-certificate", "ctl", "--also", "a b"), "neither a host name nor an IPv4 or IPv6 address"),
            (("create-control-certificate",), "Missing argument"),
            (("create-node-certificate", "web-1"), "'web-1' is not a valid UUID"),
            (("create-api-certificate", "../alice"), "can't be a user's name"),
            (("create-api-certificate", "node"), "can't be a user's name"),
            (("create-api-certificate", "alice", "--days", "0"), "0 is not in the range"),
            (("initialize", ""), "can't be a cluster's name"),
            (("initialize", "x" * 65), "can't be a cluster's name"),
            (("renew",), "Missing argument"),
            (("show",), "Missing argument"),
            (("sign",), "No such command 'sign'"),
        ],
        ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
    )
    def test_wrong_usage(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
    ) -> None:
        """
        Wrong usage is told before anything is looked at, with exit status 2.
        """
        monkeypatch.chdir(tmp_path)

        result = flocker_ca(*arguments)

        assert (result.exit_code, words in result.stderr, listed(tmp_path)) == (2, True, set()), result.stderr


class TestRenew:
    """
    The same certificates, later.
    """

    @pytest.fixture
    def expiring(self, folder: Path) -> Path:
        """
        A user's certificate that has three days left, and its key.
        """
        flocker_ca("create-api-certificate", "alice", "--days", "3", "-i", folder, "-o", folder)
        return folder / "alice.crt"

    def test_lasts_a_year_from_now(self, folder: Path, expiring: Path) -> None:
        """
        Without --days the new certificate lasts a year.
        """
        result = flocker_ca("renew", expiring, "-i", folder)

        left = loaded(expiring).not_valid_after_utc - datetime.now(UTC)
        assert (result.exit_code, round(left / timedelta(days=1))) == (0, 365), result.output

    def test_the_key_file_is_not_needed(self, folder: Path, expiring: Path) -> None:
        """
        Only the certificate and the authority are needed, and nothing is left beside them.
        """
        expiring.with_suffix(".key").unlink()

        assert flocker_ca("renew", expiring, "-i", folder).exit_code == 0
        assert listed(folder) == {"cluster.crt", "cluster.key", "cluster.issued", "alice.crt"}

    def test_the_pair_still_fits(self, folder: Path, expiring: Path) -> None:
        """
        The old key and the renewed certificate are a pair.
        """
        flocker_ca("renew", expiring, "-i", folder)

        assert load_credential(folder, "alice").identity == ALICE

    def test_keeps_the_mode(self, folder: Path, expiring: Path) -> None:
        """
        A certificate that others could not read before is not opened to them.
        """
        expiring.chmod(0o600)

        flocker_ca("renew", expiring, "-i", folder)

        assert stat.S_IMODE(expiring.stat().st_mode) == 0o600

    def test_through_a_link(self, folder: Path, tmp_path: Path, expiring: Path) -> None:
        """
        A link to a certificate stays a link; what it points to is renewed.
        """
        link = tmp_path / "user.crt"
        link.symlink_to(expiring)
        serial = loaded(expiring).serial_number

        flocker_ca("renew", link, "-i", folder)

        assert (link.is_symlink(), loaded(expiring).serial_number != serial) == (True, True)

    def test_one_bad_file_does_not_keep_the_others(self, folder: Path, expiring: Path) -> None:
        """
        What can be renewed is, and the exit status says that something could not.
        """
        serial = loaded(expiring).serial_number

        result = flocker_ca("renew", folder / "nothing.crt", expiring, "-i", folder)

        assert (result.exit_code, loaded(expiring).serial_number != serial) == (1, True)

    def test_another_clusters_certificate_is_untouched(self, folder: Path, tmp_path: Path) -> None:
        """
        Another authority's certificate is refused and stays byte for byte.
        """
        other = tmp_path / "other"
        other.mkdir()
        flocker_ca("initialize", "production", "-o", other)
        flocker_ca("create-api-certificate", "alice", "-i", other, "-o", other)
        before = (other / "alice.crt").read_bytes()

        result = flocker_ca("renew", other / "alice.crt", "-i", folder)

        assert (result.exit_code, (other / "alice.crt").read_bytes()) == (1, before)
        assert f"{other / 'alice.crt'}: It belongs to cluster" in result.stderr

    def test_a_certificate_of_flocker_1(self, folder: Path) -> None:
        """
        A version 1 certificate can't be renewed, and the error says what can be done.
        """
        own = authority(folder)
        old = as_version_1(own, issued(own, ALICE, NOW))
        (folder / "alice.crt").write_bytes(certificate_pem(old.certificate))

        result = flocker_ca("renew", folder / "alice.crt", "-i", folder)

        assert (result.exit_code, loaded(folder / "alice.crt")) == (1, old.certificate)
        assert "Make a new cluster authority" in result.stderr

    def test_the_authority(self, folder: Path, expiring: Path) -> None:
        """
        The authority's own certificate can be renewed, and what it has signed stays good.
        """
        flocker_ca("renew", folder / "cluster.crt", "--days", "7000", "-i", folder)

        assert load_credential(folder, "alice").identity == ALICE

    def test_what_the_authority_cuts(self, tmp_path: Path) -> None:
        """
        When the authority itself ends soon, renewing says so.
        """
        flocker_ca("initialize", "c", "--days", "10", "-o", tmp_path)
        flocker_ca("create-api-certificate", "alice", "-i", tmp_path, "-o", tmp_path)

        result = flocker_ca("renew", tmp_path / "alice.crt", "-i", tmp_path)

        assert "can't last longer than the cluster's authority: renew cluster.crt first" in result.output


class TestShow:
    """
    What a certificate is for, and whether it is good.
    """

    def test_a_node(self, folder: Path) -> None:
        """
        Role, identity and cluster are there, and the status says good.
        """
        flocker_ca("create-node-certificate", NODE_ID, "-i", folder, "-o", folder)

        result = flocker_ca("show", folder / f"{NODE_ID}.crt")

        assert result.exit_code == 0
        assert re.search(rf"role: +node\n +identity: +{NODE_ID}\n", result.output)

    def test_the_fingerprint_is_openssls(self, openssl: str, folder: Path) -> None:
        """
        The fingerprint is the one that openssl shows.
        """
        theirs = subprocess.run(
            [openssl, "x509", "-noout", "-fingerprint", "-sha256", "-in", folder / "cluster.crt"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

        assert theirs.strip().split("=")[1] in flocker_ca("show", folder / "cluster.crt").output

    def test_soon_expired(self, folder: Path) -> None:
        """
        The last month brings a warning, and the status is still good.
        """
        flocker_ca("create-api-certificate", "alice", "--days", "29", "-i", folder, "-o", folder)

        result = flocker_ca("show", folder / "alice.crt")

        assert (result.exit_code, "WARNING: It expires in 28 days." in result.output) == (0, True)

    def test_expired(self, folder: Path) -> None:
        """
        An expired certificate is unusable, and so is the status.
        """
        expired = issued(authority(folder), ALICE, NOW - timedelta(days=30), lifetime_days=10)
        (folder / "alice.crt").write_bytes(certificate_pem(expired.certificate))

        result = flocker_ca("show", folder / "alice.crt")

        assert (result.exit_code, "UNUSABLE: It has expired. Run flocker-ca renew on it." in result.output) == (1, True)

    def test_version_1(self, folder: Path) -> None:
        """
        A certificate of Flocker 1.x is recognised as one, with what to do.
        """
        own = authority(folder)
        node = NodeIdentity(node_id=NodeId(uuid4()))
        (folder / "node.crt").write_bytes(certificate_pem(as_version_1(own, issued(own, node, NOW)).certificate))

        result = flocker_ca("show", folder / "node.crt")

        assert result.exit_code == 1
        assert f"identity:    {node.node_id}" in result.output
        assert "UNUSABLE: It is an X.509 version 1 certificate, as Flocker 1.x made them" in result.output

    @pytest.mark.parametrize("name", ["cluster.key", "nothing.crt", "."])
    def test_no_certificate(self, folder: Path, name: str) -> None:
        """
        A file that holds no certificate is named, and no part of a key is printed.
        """
        result = flocker_ca("show", folder / name)

        key_lines = (folder / "cluster.key").read_text().splitlines()
        assert (result.exit_code, str(folder / name) in result.stderr) == (1, True)
        assert not [line for line in key_lines[1:-1] if line in result.stdout + result.stderr]


def test_as_a_process(tmp_path: Path) -> None:
    """
    The installed command works on its own, and its exit status is the shell's to see.
    """
    command = [sys.executable, "-W", "error", "-c", "from flocker_admin.ca_command import main; main()"]
    environment = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}

    codes = [
        subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
        ).returncode
        for arguments in (["initialize", "c"], ["initialize", "c"], ["initialize"])
    ]

    assert codes == [0, 1, 2]


REVOKE_REFUSED = {
    "nothing named": ((), 2, "Name the certificates to revoke"),
    "an unknown name": (("--name", "user-bob"), 1, "user-bob: no certificate of that name"),
    "no certificate": (("cluster.key",), 1, "no certificate in PEM form"),
    "the authority": (("cluster.crt",), 1, "an authority can't be revoked"),
    "a missing file": (("nobody.crt",), 1, "No such file"),
}


class TestRevoke:
    """
    Certificates that are shut out before they end.
    """

    @pytest.fixture
    def alice(self, folder: Path) -> Path:
        """
        A user's certificate.
        """
        flocker_ca("create-api-certificate", "alice", "-i", folder, "-o", folder)
        return folder / "alice.crt"

    def revoked(self, folder: Path) -> set[int]:
        """
        Serial numbers on the list.
        """
        revocations = read_revocations(folder / "cluster.crt", authority(folder).certificate)
        return {entry.serial_number for entry in revocations or ()}

    def test_by_file(self, folder: Path, alice: Path) -> None:
        """
        A certificate is revoked by its file, and says which serial number it had.
        """
        serial_number = loaded(alice).serial_number

        result = flocker_ca("revoke", alice, "-i", folder)

        assert (result.exit_code, self.revoked(folder)) == (0, {serial_number})
        assert f"Revoked: {serial_number:x}, at " in result.output

    def test_all_of_the_same_key(self, folder: Path, alice: Path) -> None:
        """
        What was renewed has the same key, and is revoked together with what it replaced.
        """
        first = loaded(alice).serial_number
        flocker_ca("renew", alice, "-i", folder)
        second = loaded(alice).serial_number

        flocker_ca("revoke", alice, "-i", folder)

        assert self.revoked(folder) == {first, second}

    def test_by_name(self, folder: Path, alice: Path) -> None:
        """
        Who has lost the file names the certificate.
        """
        serial_number = loaded(alice).serial_number
        alice.unlink()

        flocker_ca("revoke", "--name", "user-alice", "-i", folder)

        assert self.revoked(folder) == {serial_number}

    def test_one_after_the_other(self, folder: Path, alice: Path) -> None:
        """
        What was revoked before stays so, with its date, under a higher number of the list.
        """
        flocker_ca("revoke", alice, "-i", folder)
        flocker_ca("create-api-certificate", "bob", "-i", folder, "-o", folder)

        flocker_ca("revoke", folder / "bob.crt", "-i", folder)

        expected = {loaded(alice).serial_number, loaded(folder / "bob.crt").serial_number}
        assert self.revoked(folder) == expected
        revocations = read_revocations(folder / "cluster.crt", authority(folder).certificate)
        assert revocations is not None
        assert revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2

    def test_is_not_renewed(self, folder: Path, alice: Path) -> None:
        """
        A revoked certificate can't be renewed: somebody else may have its key.
        """
        flocker_ca("revoke", alice, "-i", folder)

        result = flocker_ca("renew", alice, "-i", folder)

        assert (result.exit_code, "it was revoked" in result.output) == (1, True)

    def test_list(self, folder: Path, alice: Path) -> None:
        """
        Who asks is told what was signed, and what is good.
        """
        flocker_ca("create-node-certificate", NODE_ID, "-i", folder, "-o", folder)
        flocker_ca("revoke", alice, "-i", folder)

        result = flocker_ca("list", "-i", folder)

        assert [line.split(",")[0] for line in result.output.splitlines()] == [
            "user-alice  revoked",
            f"node-{NODE_ID}  good",
        ]

    def test_openssl_reads_the_list(self, folder: Path, alice: Path, openssl: str) -> None:
        """
        The list is what every tool takes for one, signed by the authority.
        """
        flocker_ca("revoke", alice, "-i", folder)
        crl, crt = str(folder / "cluster.crl"), str(folder / "cluster.crt")

        result = subprocess.run(
            [openssl, "crl", "-in", crl, "-CAfile", crt, "-noout"], check=False, capture_output=True, text=True
        )

        assert (result.returncode, result.stderr.strip()) == (0, "verify OK")

    @pytest.mark.parametrize("what", REVOKE_REFUSED)
    def test_refused(self, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        """
        Nothing is revoked, and the sentence says why.
        """
        monkeypatch.chdir(folder)
        arguments, status, words = REVOKE_REFUSED[what]

        result = flocker_ca("revoke", *arguments)

        assert (result.exit_code, words in result.output, (folder / "cluster.crl").exists()) == (status, True, False)

    def test_another_clusters(self, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
        """
        An authority revokes only what it has signed.
        """
        other = tmp_path_factory.mktemp("other")
        flocker_ca("initialize", "other", "-o", other)
        flocker_ca("create-api-certificate", "alice", "-i", other, "-o", other)

        result = flocker_ca("revoke", other / "alice.crt", "-i", folder)

        assert (result.exit_code, "not signed by this authority" in result.output) == (1, True)

    @pytest.mark.parametrize("file", ["cluster.crl", "cluster.issued"])
    def test_damaged_lists(self, folder: Path, alice: Path, file: str) -> None:
        """
        A list that can't be read is not replaced by a shorter one.
        """
        (folder / file).write_text("rubbish\n")

        result = flocker_ca("revoke", alice, "-i", folder)

        assert (result.exit_code, (folder / file).read_text()) == (1, "rubbish\n"), result.output
