"""The trust that certificates from files establish, as any authority issues them.

Source: RFC 5280 (validation of paths), RFC 8446, section 6.2 (meaning of alerts).
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, NoReturn

from msgspec import Struct

from cluster_kit.errors import UntrustedError
from cluster_kit.security.key_files import as_file
from cluster_kit.security.keys import Certificates
from cluster_kit.security.names import is_member, names_node, shown
from cluster_kit.wire.tls import (
    Trust,
    breakage,
    new_context,
    refuses_us,
    shows_no_certificate,
    words_of,
)

MAX_CHAIN_BYTES = 49152  # as DER, since a handshake may have no more than 65536
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_ONE_AUTHORITY = "give both nodes certificates of an authority that is in the ca file of the other"
_RENEW = "renew it, and check the clocks of both"
_ONE_DOMAIN = "give both nodes the same trust_domain, and each certificate one SPIFFE ID of it"
_PURPOSES = "have it issued for serverAuth and clientAuth, since each node is both"

_NO_AUTHORITY = ("no authority in our ca file issued its certificate", _ONE_AUTHORITY)
_UNTRUSTED = {  # why we don't accept a certificate, by OpenSSL's X509_V_ERR_*
    2: _NO_AUTHORITY,
    7: _NO_AUTHORITY,  # its authority has the name of one of ours, but another key
    9: ("its certificate, or that of its authority, is not valid yet", "check the clocks of both"),
    10: ("its certificate, or that of its authority, has expired", _RENEW),
    18: _NO_AUTHORITY,
    19: _NO_AUTHORITY,
    20: _NO_AUTHORITY,
    21: _NO_AUTHORITY,
    26: ("its certificate is not meant for TLS between nodes", _PURPOSES),
}
_REFUSED = {  # why the other end doesn't accept ours, by its alert
    "CERTIFICATE_EXPIRED": ("our certificate has expired by its clock", _RENEW),
    "UNKNOWN_CA": ("no authority in its ca file issued our certificate", _ONE_AUTHORITY),
    "UNSUPPORTED_CERTIFICATE": ("our certificate is not meant for TLS between nodes", _PURPOSES),
}


class FileProof(Struct, frozen=True):
    """What the other end of a link has proved by a certificate of an authority.

    Attributes:
        subject_names: The names in its certificate; see ``names_node``.
        trust_domain: Its trust domain; ``None`` if its certificate must name its host instead.
    """

    subject_names: tuple[tuple[str, str], ...]
    trust_domain: str | None = None

    def objection_to(self, name: str) -> str | None:
        """See ``cluster_kit.network.Certified``."""
        if names_node(self.subject_names, name, self.trust_domain):
            return None
        hosts, host = shown(self.subject_names, None) or "no host", name.partition("@")[2]
        cure = f"if that is its host, have it issued for {host!r} as well"
        return f"its certificate is for {hosts} only; {cure}"


class FileTrust(Trust[FileProof]):
    """The trust that certificates establish while they are valid by the clock of this machine.

    Any certificate among the authorities ends a chain, self-signed or not, since a ca file often
    has an intermediate authority and nothing else.

    Args:
        certificates: Those of this node and of the authorities that it trusts.

    Raises:
        ValueError: They can't be used; the message says why.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._trust_domain = certificates.trust_domain
        blocks = [b"".join(block.split()) for block in _BLOCK.findall(certificates.chain)]
        size = sum(len(block) * 3 // 4 for block in blocks)
        if size > MAX_CHAIN_BYTES:
            most = f"peers accept at most {MAX_CHAIN_BYTES}; leave out what is in their ca file"
            raise ValueError(f"a chain of {size} bytes: {most}")
        self.accepting, self.dialling = (new_context(dialled=dialled) for dialled in (False, True))
        with ExitStack() as stack:
            chain = stack.enter_context(as_file(certificates.chain))
            authorities = stack.enter_context(as_file(certificates.authorities))
            # the path: no variable may hold the key itself, as a traceback could show it
            key = stack.enter_context(as_file(certificates.key))
            for context in (self.accepting, self.dialling):
                # strict verification requires extensions that ordinary authorities leave out
                context.verify_flags &= ~ssl.VERIFY_X509_STRICT
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                try:
                    context.load_cert_chain(chain, key, password=_refuse_password)
                    context.load_verify_locations(authorities)
                except ssl.SSLError as exc:
                    message = f"certificate, key and authorities can't be used: {words_of(exc)}"
                    raise ValueError(message) from exc

    def read(self, certificate: Mapping[str, Any]) -> FileProof:
        """Return the names in a certificate, which must be of our trust domain if there is one."""
        names = tuple(certificate.get("subjectAltName", ()))
        domain = self._trust_domain
        if domain is not None and not is_member(names, domain):
            found = shown(names, domain) or "nobody"
            why = f"its certificate names {found}, not a member of the trust domain {domain!r}"
            raise UntrustedError(why, cure=_ONE_DOMAIN)
        return FileProof(names, domain)

    def distrust(self, fault: ssl.SSLError | None) -> UntrustedError:
        """Return why a handshake has failed."""
        if fault is None:
            why, cure = "it has no certificate, and this node has one", _ONE_AUTHORITY
        elif isinstance(fault, ssl.SSLCertVerificationError):
            invalid = f"its certificate is not valid: {fault.verify_message}"
            other = (invalid, "have another one issued for it")
            why, cure = _UNTRUSTED.get(fault.verify_code, other)
        elif refuses_us(fault):
            alert = fault.reason.partition("ALERT_")[2]
            other = ("it does not accept our certificate", "see the log of that node")
            why, cure = _REFUSED.get(alert, other)
            why = f"{why} (alert {alert.replace('_', ' ').lower()})"
        elif shows_no_certificate(fault):
            why, cure = "it shows no certificate", _ONE_AUTHORITY
        else:
            return breakage(fault)
        return UntrustedError(why, cure=cure)


def _refuse_password() -> NoReturn:
    raise ValueError("the private key is encrypted: write it without a password")
