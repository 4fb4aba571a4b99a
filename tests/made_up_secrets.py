"""Keys as secrets come to, made up, since to stretch a secret takes a tenth of a second."""

from cluster_kit.security.keys import Keyring, SecretKeys


def keys(number):
    """Return what the secret of this number comes to."""
    each = bytes([number])
    return SecretKeys(id=each * 8, authority=each * 32, datagrams=each * 32)


def keyring(current, *previous):
    """Return the keys of a node that uses the first secret and accepts the others besides."""
    return Keyring(keys(current), tuple(keys(number) for number in previous))
