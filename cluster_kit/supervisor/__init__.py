"""Lives in the application's process: starts workers, restarts what fails, delivers events.

``AsyncSupervisor`` is in ``cluster_kit.supervisor.aio``, so that programs without asyncio don't load it.
"""

from cluster_kit.supervisor.bus import Subscription
from cluster_kit.supervisor.status import LinkStatus, State, TopologyStatus
from cluster_kit.supervisor.supervisor import Supervisor

__all__ = ["LinkStatus", "State", "Subscription", "Supervisor", "TopologyStatus"]
