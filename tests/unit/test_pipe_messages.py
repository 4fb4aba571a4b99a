"""Each message between supervisor and worker is in the union of the end that receives it."""

from typing import get_args

from msgspec import Struct

from cluster_kit.pipe import messages
from cluster_kit.pipe.channel import Parcel

OUTSIDE = {messages.Prepare, messages.Start, messages.Inspected}  # before any order; in a Reply


def test_each_message_is_in_one_union():
    """``mypy`` sees whether a union is handled completely, but not what is missing from it."""
    orders, from_worker = set(get_args(messages.Order)), set(get_args(messages.FromWorker))
    structs = {
        each
        for each in vars(messages).values()
        if isinstance(each, type) and issubclass(each, Struct)
        if each.__module__ == messages.__name__
    }
    assert (orders | from_worker) - {Parcel} == structs - OUTSIDE
    assert orders & from_worker == {Parcel}
