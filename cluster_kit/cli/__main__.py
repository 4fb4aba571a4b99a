"""``python -m cluster_kit.cli``, the same as ``cluster-kit``."""

from cluster_kit.cli.interruption import end_quietly


def main() -> None:
    """Run the command line; from here on, Ctrl-C ends it quietly."""
    end_quietly()
    from cluster_kit.cli.commands import main

    main(prog_name="cluster-kit")


if __name__ == "__main__":
    main()
