"""Whether a step of a rotation is safe, by the secrets that nodes report."""

import pytest

from cluster_kit.cli.rotate import Readiness, peers_of

OLD, NEW = "0ld" * 5 + "0", "4e3" * 5 + "0"


def status(links=(), known=(), gone=()):
    return {
        "topologies": {
            "lan": {
                "links": [{"node": node, "secrets": list(held)} for node, held in links],
                "known": [{"node": node} for node in known],
                "gone": [{"node": node} for node in gone],
            }
        }
    }


def readiness(answer, secrets):
    return {each.node: each.readiness for each in peers_of(answer, secrets)}


@pytest.mark.parametrize(
    ("held", "step", "expected"),
    [
        ([OLD], [OLD, NEW], Readiness.READY),  # to accept more parts nobody
        ([OLD], [NEW, OLD], Readiness.BEHIND),
        ([OLD, NEW], [NEW, OLD], Readiness.READY),
        ([OLD, NEW], [NEW], Readiness.BEHIND),
        ([NEW, OLD], [NEW], Readiness.READY),
        ([NEW], [NEW], Readiness.READY),
        ([OLD], [NEW], Readiness.BEHIND),
        ([], [OLD, NEW], Readiness.BEHIND),
    ],
)
def test_linked_node_is_ready_if_each_goes_on_to_accept_what_the_other_uses(held, step, expected):
    assert readiness(status([("a@h", held)]), step) == {"a@h": expected}


def test_known_or_recently_gone_node_is_absent_unless_linked():
    answer = status([("a@h", [OLD, NEW])], known=["a@h", "b@h"], gone=["c@h"])
    assert readiness(answer, [NEW, OLD]) == {
        "a@h": Readiness.READY,
        "b@h": Readiness.ABSENT,
        "c@h": Readiness.ABSENT,
    }


def test_fault_names_the_secret():
    [behind] = peers_of(status([("a@h", [OLD])]), [NEW])
    assert behind.row == (
        "a@h",
        OLD[:8],
        "-",
        "; ".join(
            (
                f"does not accept {NEW[:8]}, which would be used: add it there first",
                f"still uses {OLD[:8]}, which would be dropped: switch it to another one first",
            )
        ),
    )


def test_node_of_several_topologies_counts_by_the_link_that_reports_secrets():
    answer = status([("a@h", [])])
    answer["topologies"]["wan"] = status([("a@h", [NEW])])["topologies"]["lan"]
    assert readiness(answer, [NEW]) == {"a@h": Readiness.READY}
