"""Who is known, who is linked, and what to do about it; pure: values in, values out, time and jitter passed in."""

from cluster_kit.membership.membership import Membership
from cluster_kit.membership.reconciler import Command, Connect, Disconnect

__all__ = ["Command", "Connect", "Disconnect", "Membership"]
