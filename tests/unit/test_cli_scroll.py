"""A window onto more lines than a terminal has."""

from hypothesis import given
from hypothesis import strategies as st

from cluster_kit.cli.watch.terminal import Viewport, moves

HEAD = ["sum", ""]
BODY = [f"line {number}" for number in range(1, 31)]


def window(scroll, height=10, body=BODY):
    return scroll.window(HEAD, body, 80, height)


def test_content_that_fits_is_shown_whole():
    assert window(Viewport(), 40) == [*HEAD, *BODY]


def test_more_than_fits_begins_at_the_top_and_says_where_it_is():
    assert window(Viewport()) == [
        *HEAD,
        *BODY[:7],
        "-- 1 to 7 of 30 lines: arrows, PgUp, PgDn; q ends --",
    ]


def test_keys_move_the_window_and_not_beyond_the_ends():
    scroll = Viewport()
    window(scroll)
    for keys, top in [
        ("j", 2),
        ("\x1b[B\x1b[B", 4),
        (" ", 10),
        ("\x1b[6~", 16),
        ("k\x1b[A", 14),
        ("G", 24),
        ("\x1b[6~", 24),
    ]:
        for move in moves(keys):
            scroll.move(move)
        assert window(scroll)[2] == f"line {top}"
    for keys, top in [("\x1b[5~", 18), ("g", 1), ("\x1b[A", 1), ("\x1bOF", 24), ("\x1b[H", 1)]:
        for move in moves(keys):
            scroll.move(move)
        assert window(scroll)[2] == f"line {top}"


def test_window_stays_within_lines_that_become_fewer():
    scroll = Viewport()
    window(scroll)
    scroll.move("bottom")
    assert window(scroll)[2] == "line 24"
    assert window(scroll, body=BODY[:12])[2:-1] == BODY[5:12]
    assert window(scroll, body=BODY[:3]) == [*HEAD, *BODY[:3]]


def test_keys_without_a_meaning_mean_nothing():
    assert moves("x\x1b[200~\x1b[Bé\x1b") == ["down"]


@given(
    st.lists(st.text(alphabet="ab", max_size=5), max_size=40),
    st.integers(1, 12),
    st.integers(1, 12),
    st.lists(st.sampled_from(["up", "down", "page up", "page down", "top", "bottom"])),
)
def test_never_more_than_the_terminal_holds(body, width, height, keys):
    scroll = Viewport()
    for move in keys:
        scroll.move(move)
        lines = scroll.window(HEAD, body, width, height)
        assert len(lines) <= height
        assert all(len(line) <= width for line in lines)
