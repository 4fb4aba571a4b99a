"""Keys of secrets: by another implementation of the same functions, and by a vector that must never
change.
"""

import pickle
import re

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_kit.security.keys import Keyring, SecretKeys, derive, new_secret

ODD = ["x", " padded ", "ä🔑", "\udcff\udc80 odd \x00", "0" * 5000]


def by_cryptography(secret: bytes, cluster: bytes) -> SecretKeys:
    stretched = Scrypt(salt=cluster, length=32, n=2**15, r=8, p=1).derive(secret)
    return by_expanding(
        lambda info, length: HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(
            stretched
        )
    )


def by_expanding(expand) -> SecretKeys:
    return SecretKeys(
        id=expand(b"cluster_kit id", 8),
        authority=expand(b"cluster_kit links", 32),
        datagrams=expand(b"cluster_kit datagrams", 32),
    )


@pytest.fixture(scope="module")
def keys() -> SecretKeys:
    return derive("correct horse battery staple", "shop-prod")


def test_keys_of_a_secret_never_change(keys):
    """Nodes of two versions belong to one cluster: what this breaks for must be another protocol
    version.
    """
    assert keys.id.hex() == "9b91d1322d1ea306"
    assert (
        keys.authority.hex() == "d28bcad52088fbf72ca81767e1c222beb87f08e463aa070450f45cba85d5d1f7"
    )
    assert (
        keys.datagrams.hex() == "9bf85cc3dc5617e932b370e4b2d870e8554ce591705113dfa8b6c4beae3dcef9"
    )


@pytest.mark.parametrize("secret", ODD, ids=range(len(ODD)))
def test_keys_are_those_of_another_implementation(secret):
    assert derive(secret, "shop") == by_cryptography(
        secret.encode(errors="surrogateescape"), b"shop"
    )


def test_made_secret_is_random_and_not_stretched():
    """RFC 5869 with the cluster's name for salt, by another implementation."""
    one, other = new_secret(), new_secret()
    assert one != other
    assert re.fullmatch("ck1-[0-9a-f]{64}", one)
    assert derive(one, "shop") == by_expanding(
        lambda info, length: HKDF(
            algorithm=SHA256(), length=length, salt=b"shop", info=info
        ).derive(one.encode())
    )
    assert derive("ck1-" + "0123456789abcdef" * 4, "shop-prod").id.hex() == "5b98e8c6d74ea418"


@pytest.mark.parametrize(
    "change", [str.upper, lambda made: made[:-1], lambda made: made + "0", lambda made: made + "\n"]
)
def test_secret_that_only_resembles_a_generated_one_is_stretched(change):
    secret = change(new_secret())
    assert derive(secret, "shop") == by_cryptography(secret.encode(), b"shop")


def test_bytes_and_their_text_are_one_secret():
    odd = b"\xff\x00\xc3\xa4"
    assert derive(odd, "shop") == derive(odd.decode(errors="surrogateescape"), "shop")


def test_each_key_is_another_one(keys):
    assert len({keys.id, keys.authority[:8], keys.datagrams[:8]}) == 3


def test_another_cluster_or_secret_has_nothing_in_common(keys):
    for other in (
        derive("correct horse battery staple", "shop"),
        derive("correct horse battery stable", "shop-prod"),
    ):
        assert not {other.id, other.authority, other.datagrams} & {
            keys.id,
            keys.authority,
            keys.datagrams,
        }


@settings(max_examples=10, deadline=None)
@given(st.binary(max_size=40), st.from_regex(r"[!-~]{1,20}", fullmatch=True))
def test_any_bytes_are_a_secret(secret, cluster):
    assert derive(secret, cluster) == by_cryptography(secret, cluster.encode())


def test_keys_are_not_shown(keys):
    keyring = Keyring(keys, (keys,))
    shown = f"{keys} {keyring!r} {keys.__rich_repr__()} {keyring.__rich_repr__()}"
    assert keys.id.hex() in shown
    for key in (keys.authority, keys.datagrams):
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown


def test_keyring_survives_the_pipe(keys):
    keyring = Keyring(keys, (derive("older", "shop-prod"),))
    assert pickle.loads(pickle.dumps(keyring)) == keyring
    assert keyring.accepted == (keys, *keyring.previous)
