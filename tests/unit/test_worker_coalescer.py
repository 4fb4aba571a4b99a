"""Of many values that replace each other, only the last one is passed on."""

from cluster_kit.worker.coalescer import Coalescer


class Loop:
    """What ``Coalescer`` needs of an event loop, with a clock that is set by hand."""

    def __init__(self):
        self.now_s = 100.0
        self.timers = []

    def time(self):
        return self.now_s

    def call_at(self, when_s, callback):
        self.timers.append((when_s, callback))

    def run(self, seconds=0.0):
        self.now_s += seconds
        due = [callback for when_s, callback in self.timers if when_s <= self.now_s]
        self.timers = [timer for timer in self.timers if timer[0] > self.now_s]
        for callback in due:
            callback()


def test_last_value_is_passed_on_in_the_next_turn():
    loop, passed = Loop(), []
    coalescer = Coalescer(loop, 1.0, passed.append)
    for value in range(3):
        coalescer.put(value)
    assert passed == []
    loop.run()
    assert passed == [2]


def test_next_value_waits_for_its_time_and_nothing_runs_without_one():
    loop, passed = Loop(), []
    coalescer = Coalescer(loop, 1.0, passed.append)
    coalescer.put(1)
    loop.run()
    coalescer.put(2)
    loop.run(0.5)
    coalescer.put(3)
    assert passed == [1]
    loop.run(0.5)
    assert (passed, loop.timers) == ([1, 3], [])
