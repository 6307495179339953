# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate, read and validate SSH private keys, and compute fingerprints. PRIVATE to the collection."""

from __future__ import annotations

import base64
import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._cryptography import cryptography_imports
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

with cryptography_imports:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

LEAST_RSA_BITS = 3072
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_OPENSSH = "-----BEGIN OPENSSH PRIVATE KEY-----"
ACCEPTED = f"ed25519, ecdsa on a NIST curve of 256 bits or more, or rsa of {LEAST_RSA_BITS} bits or more"


@dataclass(frozen=True)
class SshKey:
    """A private key in the format of OpenSSH, and its public key."""

    text: str = field(repr=False)
    public: str

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the public key in the format of ssh-keygen -l."""
        return key_fingerprint(self.public.split()[1])


def key_fingerprint(blob: str) -> str:
    """Return the fingerprint of a public key in base64. Raise ValueError if it is invalid."""
    digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def new_key() -> str:
    """Generate an ed25519 private key without a passphrase."""
    return _openssh(Ed25519PrivateKey.generate())


def public_line(text: str) -> str:
    """Derive the public key of an OpenSSH private key. Raise ValueError without confidential text if invalid."""
    try:
        return _public(serialization.load_ssh_private_key(text.encode(), password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(type(error).__name__) from error


def read_key(text: str, what: str) -> SshKey:
    """Read a private key in any common format. Raise InvalidInput with the reason if it cannot be used."""
    text = "\n".join(line.rstrip() for line in text.strip().splitlines()) + "\n"
    key = _load(text, what)
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name not in _CURVES:
        raise InvalidInput(f"{what} is on the curve {key.curve.name}. Use {ACCEPTED}.", reason="key_type_refused")
    if isinstance(key, RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        raise InvalidInput(f"{what} is an rsa key of {key.key_size} bits. Use {ACCEPTED}.", reason="key_too_small")
    if not isinstance(key, (EllipticCurvePrivateKey, Ed25519PrivateKey, RSAPrivateKey)):
        raise InvalidInput(f"{what} has an unsupported type. Use {ACCEPTED}.", reason="key_type_refused")
    # Some versions of OpenSSH cannot read keys in other formats, so convert the key for the Pod.
    return SshKey(text if text.startswith(_OPENSSH) else _openssh(key), _public(key))


def _load(text: str, what: str) -> t.Any:
    if "-----BEGIN" not in text:
        kind = "a public key" if text.startswith(("ssh-", "ecdsa-", "sk-")) else "not a valid private key"
        kind = "a PuTTY key (puttygen -O private-openssh converts it)" if text.startswith("PuTTY") else kind
        raise InvalidInput(
            f"{what} is {kind}. Use an SSH private key in OpenSSH or PEM format.", reason="key_unreadable"
        )
    load = serialization.load_ssh_private_key if text.startswith(_OPENSSH) else serialization.load_pem_private_key
    try:
        return load(text.encode(), password=None)
    except TypeError:
        # cryptography raises this if a password is required. Its messages may contain the input, so do not chain its
        # exceptions.
        raise InvalidInput(
            f"{what} has a passphrase, which cannot be entered in the pod. Remove it with ssh-keygen -p, or better, "
            "use a separate key for this repository.",
            reason="key_has_passphrase",
        ) from None
    except UnsupportedAlgorithm:
        raise InvalidInput(f"{what} has an unsupported type. Use {ACCEPTED}.", reason="key_type_refused") from None
    except ValueError:
        raise InvalidInput(
            f"{what} cannot be read as a private key: it is incomplete, damaged or not a private key. "
            "Use the whole file, from its BEGIN line to its END line.",
            reason="key_unreadable",
        ) from None


def _public(key: t.Any) -> str:
    formats = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return str(key.public_key().public_bytes(*formats).decode())


def _openssh(key: t.Any) -> str:
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    return str(key.private_bytes(*formats, serialization.NoEncryption()).decode())
