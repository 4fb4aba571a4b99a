"""A network with delay: ``netns_lab`` with a hub in this process as its bridge; needs no netem.

Each node's interface is a tap device. What one sends reaches all others after the delay, which
varies, so that packets also overtake each other.
"""

import asyncio
import ctypes
import fcntl
import os
import random
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

from netns_lab import Lab

TUN = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA  # <linux/if_tun.h>
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_FRAME_BYTES = 2048
_libc = ctypes.CDLL(None, use_errno=True)


class Hub(threading.Thread):
    """Carries frames between the taps until it is stopped."""

    def __init__(self, taps, delay_s, jitter_s):
        super().__init__(name="hub")
        self._taps = taps
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._loop = asyncio.new_event_loop()

    def run(self):
        for tap in self._taps:
            self._loop.add_reader(tap, self._carry, tap)
        self._loop.run_forever()
        self._loop.close()

    def _carry(self, tap):
        frame = os.read(tap, _FRAME_BYTES)
        after_s = self._delay_s + random.uniform(-self._jitter_s, self._jitter_s)
        self._loop.call_later(after_s, self._deliver, frame, tap)

    def _deliver(self, frame, sender):
        for tap in self._taps:
            if tap != sender:
                os.write(tap, frame)

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()
        for tap in self._taps:
            os.close(tap)


@contextmanager
def slow_lan(size, delay_s, jitter_s):
    """Yield a lab whose nodes reach each other after ``delay_s``, give or take ``jitter_s``."""
    with Lab(size) as lab:
        taps = []
        for place in lab.nodes:
            place.unplug()
            taps.append(_tap_in(place.name))
            place.address_interface()
        hub = Hub(taps, delay_s, jitter_s)
        hub.start()
        try:
            yield lab
        finally:
            lab.kill()
            hub.stop()


def _tap_in(namespace):
    """Return a tap device named eth0 in a network namespace."""
    made = []

    def make():  # in a thread of its own: a namespace is a thread's
        with Path("/run/netns", namespace).open() as file:
            if _libc.setns(file.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        tap = os.open(TUN, os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"eth0", _IFF_TAP | _IFF_NO_PI))
        made.append(tap)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
