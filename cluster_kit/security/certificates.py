"""Encodes the few certificates that links need, as DER.

These are an authority for each secret, and a leaf for each run of a node. They are encoded by hand,
since importing an X.509 library would delay the start of a worker by a tenth of a second. Only keys
and serial numbers differ between machines and runs, and their lengths are fixed.

Source: RFC 5280 (certificates), RFC 8410 (Ed25519 in them), RFC 5958 (private keys).
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SERIAL_BYTES = 16
_SERIAL_BOUND = 0x40  # of its first byte, so that no sign or leading zero changes the length

_INTEGER, _BIT_STRING, _OCTET_STRING, _OID, _UTF8 = 0x02, 0x03, 0x04, 0x06, 0x0C
_SEQUENCE, _SET = 0x30, 0x31
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS, _KEY_IDENTIFIER, _URI = 0xA0, 0xA3, 0x80, 0x86  # context-specific tags

_TRUE = bytes([0x01, 1, 0xFF])
_WHOLE_BYTES = b"\x00"  # the number of unused bits at the end of a bit string


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(size)]) + size + content


def _oid(*encoded: int) -> bytes:
    return _der(_OID, bytes(encoded))


_ED25519 = _der(_SEQUENCE, _oid(0x2B, 0x65, 0x70))  # 1.3.101.112
_COMMON_NAME = _oid(0x55, 0x04, 0x03)
_SUBJECT_KEY, _KEY_USAGE, _SUBJECT_NAME, _CONSTRAINTS, _AUTHORITY_KEY, _PURPOSES = (
    _oid(0x55, 0x1D, each) for each in (0x0E, 0x0F, 0x11, 0x13, 0x23, 0x25)
)
_SERVER, _CLIENT = (_oid(0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, each) for each in (1, 2))

_FIRST, _LAST = _der(_UTC_TIME, b"000101000000Z"), _der(_GENERALIZED_TIME, b"99991231235959Z")
_ALWAYS = _der(_SEQUENCE, _FIRST, _LAST)
_MAY_SIGN_CERTIFICATES = _der(_BIT_STRING, bytes([2, 0b00000100]))
_MAY_SIGN = _der(_BIT_STRING, bytes([7, 0b10000000]))
_IS_AUTHORITY = _der(_SEQUENCE, _TRUE, _der(_INTEGER, b"\x00"))  # of leaves only
_NOBODY = _der(_SEQUENCE)


class Authority:
    """Certifies the nodes that hold one secret; it is the same on every machine.

    Args:
        seed: The seed of its key, which only nodes with the secret know.
        title: Its name, which is public.

    Attributes:
        certificate: Its own certificate, as DER.
    """

    def __init__(self, seed: bytes, title: str) -> None:
        self._key = _private_key(seed)
        public = self._key.public_key().public_bytes_raw()
        self._key_id = hashlib.sha256(public).digest()[:20]
        common_name = _der(_SEQUENCE, _COMMON_NAME, _der(_UTF8, title.encode()))
        self._name = _der(_SEQUENCE, _der(_SET, common_name))
        extensions = (
            _extension(_CONSTRAINTS, _IS_AUTHORITY, is_critical=True),
            _extension(_KEY_USAGE, _MAY_SIGN_CERTIFICATES, is_critical=True),
            _extension(_SUBJECT_KEY, _der(_OCTET_STRING, self._key_id)),
        )
        self.certificate = self._signed(b"\x01", self._name, public, extensions)

    def certify(self, seed: bytes, uri: str) -> bytes:
        """Return a certificate, as DER, for the key of ``seed``; ``uri`` alone decides its size."""
        public = _private_key(seed).public_key().public_bytes_raw()
        serial = hashlib.sha256(public).digest()[:_SERIAL_BYTES]
        serial = bytes([_SERIAL_BOUND | serial[0] % _SERIAL_BOUND]) + serial[1:]
        name = _der(_URI, uri.encode("ascii"))
        extensions = (
            _extension(_KEY_USAGE, _MAY_SIGN, is_critical=True),
            _extension(_PURPOSES, _der(_SEQUENCE, _SERVER, _CLIENT)),
            _extension(_AUTHORITY_KEY, _der(_SEQUENCE, _der(_KEY_IDENTIFIER, self._key_id))),
            _extension(_SUBJECT_NAME, _der(_SEQUENCE, name), is_critical=True),
        )
        return self._signed(serial, _NOBODY, public, extensions)

    def _signed(
        self, serial: bytes, subject: bytes, public: bytes, extensions: tuple[bytes, ...]
    ) -> bytes:
        content = _der(
            _SEQUENCE,
            _der(_VERSION, _der(_INTEGER, b"\x02")),
            _der(_INTEGER, serial),
            _ED25519,
            self._name,
            _ALWAYS,
            subject,
            _der(_SEQUENCE, _ED25519, _der(_BIT_STRING, _WHOLE_BYTES, public)),
            _der(_EXTENSIONS, _der(_SEQUENCE, *extensions)),
        )
        signature = _der(_BIT_STRING, _WHOLE_BYTES, self._key.sign(content))
        return _der(_SEQUENCE, content, _ED25519, signature)


def _extension(oid: bytes, value: bytes, *, is_critical: bool = False) -> bytes:
    return _der(_SEQUENCE, oid, _TRUE if is_critical else b"", _der(_OCTET_STRING, value))


def _private_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def new_seed() -> bytes:
    """Return the seed of a new key, from the randomness of ``cryptography``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes_raw()


def pem_of_certificate(der: bytes) -> bytes:
    """Return a certificate as PEM."""
    return _pem(b"CERTIFICATE", der)


def pem_of_key(seed: bytes) -> bytes:
    """Return the private key that ``seed`` gives, as PEM."""
    key = _der(_OCTET_STRING, _der(_OCTET_STRING, seed))
    return _pem(b"PRIVATE KEY", _der(_SEQUENCE, _der(_INTEGER, b"\x00"), _ED25519, key))


def _pem(label: bytes, der: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(der), label)
