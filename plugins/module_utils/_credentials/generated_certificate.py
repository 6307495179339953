# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Self-signed server certificates, which clients trust directly. PRIVATE to the collection."""

from __future__ import annotations

import datetime as dt
import ipaddress
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._cryptography import cryptography_imports

with cryptography_imports:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS_LEFT = 30
_BACK = dt.timedelta(hours=1)


def new_certificate(hosts: t.Sequence[str], days: int, now: dt.datetime) -> str:
    """Create a private key and a certificate for these names and addresses, as one text in PEM format."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    usage = dict.fromkeys(
        ("content_commitment", "data_encipherment", "key_encipherment", "key_agreement", "encipher_only"), False
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Allow for clock differences.
        .not_valid_before(now - _BACK)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=False, decipher_only=False, **usage),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def public_part(text: str) -> str:
    """Return the certificates of such a text. Raise ValueError without confidential text if a part is missing."""
    try:
        serialization.load_pem_private_key(text.encode(), password=None)
        certificates = x509.load_pem_x509_certificates(text.encode())
    except (ValueError, TypeError) as error:
        raise ValueError(type(error).__name__) from None
    return "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates)


def must_renew(text: str, hosts: t.Sequence[str], now: dt.datetime) -> bool:
    """Return whether a certificate expires soon or lacks a name."""
    certificate = x509.load_pem_x509_certificates(text.encode())[0]
    left = certificate.not_valid_after_utc - now
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return True
    return left < dt.timedelta(days=DAYS_LEFT) or not {_general_name(host) for host in hosts} <= set(names)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
