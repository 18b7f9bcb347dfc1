"""``python -m benchmark``."""

import os

# Threads of torch that wait by spinning stall each other on a busy machine (ten times slower was
# seen with two other programs running); passive waiting costs about a tenth on an idle one. It
# has to be said before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def main() -> None:
    """Run the command line."""
    from benchmark import cli

    cli.main()


if __name__ == "__main__":
    main()
