"""An application to kill, freeze and fork: runs a supervisor, prints its events as JSON.

Besides the events it prints its workers' pids once all serve, and understands one command a line on
standard input: ``gil SECONDS`` holds the interpreter lock, ``forget`` ends without stopping the
supervisor, ``stop`` ends properly.
"""

import json
import os
import sys
import threading

from misbehaving import hold_the_gil

from cluster_kit import Supervisor


def main() -> None:
    supervisor = Supervisor(json.loads(sys.argv[1]))
    # before the first link can be up, which would then be in the snapshot only
    events = supervisor.subscribe()
    supervisor.start()
    say(event="pids", pids={name: status.pid for name, status in supervisor.status().items()})
    threading.Thread(target=report, args=(events,), daemon=True).start()
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "gil":
            hold_the_gil(int(rest[0]))
            say(event="released")
        elif word == "status":
            say(
                event="status",
                restarts={name: status.restarts for name, status in supervisor.status().items()},
            )
        elif word == "forget":
            return
        elif word == "stop":
            break
    supervisor.stop()


def report(events):
    for event in events:
        fields = {"event": type(event).__name__, "topology": event.topology, "t": event.t}
        if hasattr(event, "node"):
            fields["node"] = str(event.node)
        if hasattr(event, "reason"):
            fields["reason"] = str(event.reason)
        if hasattr(event, "kind"):
            fields["kind"] = event.kind
        say(**fields)


def say(**fields):
    """Write past ``sys.stdout``, whose lock a thread may never release at interpreter exit."""
    os.write(1, f"{json.dumps(fields)}\n".encode())


if __name__ == "__main__":
    main()
