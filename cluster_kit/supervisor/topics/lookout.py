"""Those who look whenever a link comes or goes, or a peer listens otherwise than before."""

from __future__ import annotations

from collections.abc import Callable, Hashable

Look = Callable[[], None]


class Lookout:
    """Has them look, each time that what they may see is another; guarded by the switchboard's lock."""

    def __init__(self) -> None:
        self._looks: list[Look] = []
        self._seen: Hashable = None

    def add(self, look: Look) -> None:
        """Have ``look`` called from now on."""
        self._looks.append(look)

    def remove(self, look: Look) -> None:
        """Call it no more; idempotent."""
        self._looks = [each for each in self._looks if each != look]

    def again(self) -> None:
        """Have all look once more, whatever they see."""
        self._seen = None

    def look(self, sight: Hashable) -> None:
        """Have all look unless what there is to see, for which ``sight`` stands, is what they saw last."""
        while self._looks and sight != self._seen:  # what they do may have others look again
            self._seen = sight
            for look in tuple(self._looks):
                look()
