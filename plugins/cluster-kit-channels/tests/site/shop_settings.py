"""A Django site of which several processes run beside each other."""

import os

SECRET_KEY = "x"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels"]
USE_TZ = True
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "cluster_kit_channels.ClusterChannelLayer",
        "CONFIG": {
            "cluster": {
                "cluster": os.environ["SHOP"],
                "node": f"web-{os.getpid()}@127.0.0.1",
                "topologies": {"lan": {"strategy": "gossip"}},
            },
        },
    },
}
