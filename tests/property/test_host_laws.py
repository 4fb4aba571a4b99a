"""A host's canonical form: idempotent, equal for all its notations, distinct for two hosts."""

import ipaddress
from contextlib import suppress

from hypothesis import assume, given
from hypothesis import strategies as st

from cluster_kit.host import canonical_host
from cluster_kit.node import Node, join_address, split_address

labels = st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True)
names = st.lists(labels, min_size=2, max_size=4).map(".".join)
spelt = names.flatmap(
    lambda name: st.tuples(
        st.just(name), st.tuples(*[st.booleans()] * len(name)), st.sampled_from(["", "."])
    )
)
zones = st.sampled_from(["", "%eth0", "%ETH0", "%2"])


def notations_v6(address):
    """Return ways to write an IPv6 address: full, compressed, in capitals, with an IPv4 end."""
    groups = [f"{int.from_bytes(address.packed[at : at + 2]):x}" for at in range(0, 16, 2)]
    written = {
        ":".join(group.zfill(4) for group in groups),
        ":".join(groups),
        ":".join(groups).upper(),
        str(address),
    }
    for start in range(8):
        for end in range(start + 1, 9):
            if set(groups[start:end]) == {"0"}:
                written.add(f"{':'.join(groups[:start])}::{':'.join(groups[end:])}")
    written.add(f"{':'.join(groups[:6])}:{ipaddress.IPv4Address(address.packed[12:])}")
    return sorted(written)


@given(st.text(max_size=60) | st.text("0123456789abcdefABCDEF:.%x[]-_", max_size=30) | names)
def test_canonical_form_is_stable(text):
    with suppress(ValueError):
        canonical = canonical_host(text)
        assert canonical_host(canonical) == canonical
        assert split_address(join_address(canonical, 1)) == (canonical, 1)
        assert Node(name=f"a@{text}").host == canonical


@given(spelt)
def test_case_and_final_dot_of_a_name_make_no_difference(given_name):
    name, capitals, dot = given_name
    text = (
        "".join(
            char.upper() if capital else char for char, capital in zip(name, capitals, strict=True)
        )
        + dot
    )
    assert canonical_host(text) == name


@given(st.ip_addresses(v=6), st.data())
def test_all_notations_of_one_address_are_equal(address, data):
    assume(address.ipv4_mapped is None)
    notation = data.draw(st.sampled_from(notations_v6(address)))
    assert canonical_host(notation) == str(address)


@given(st.ip_addresses(v=4))
def test_mapped_address_is_the_address(address):
    mapped = ipaddress.IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    assert {canonical_host(notation) for notation in notations_v6(mapped)} == {str(address)}


addresses = st.ip_addresses() | st.sampled_from(["fe80::1", "fe80::2", "ff02::1", "::1"]).map(
    ipaddress.ip_address
)


@given(st.tuples(addresses, zones), st.tuples(addresses, zones))
def test_two_addresses_are_never_merged(one, other):
    (first, zone), (second, another) = one, other
    for address, its in (one, other):
        assume(address.version == 6 or not its)
        assume(address.version == 4 or address.ipv4_mapped is None)
    same = canonical_host(f"{first}{zone}") == canonical_host(f"{second}{another}")
    # of any other address, the zone says nothing
    is_scoped = first.is_link_local or first.is_multicast
    assert same == (first == second and (zone == another or not is_scoped))


@given(names | labels, names | labels)
def test_two_names_are_never_merged(one, other):
    with suppress(ValueError):
        assert (canonical_host(one) == canonical_host(other)) == (one == other)
