"""``python -m cluster_kit.cli``, the same as ``cluster-kit``."""

from cluster_kit.cli import main

main(prog_name="cluster-kit")
