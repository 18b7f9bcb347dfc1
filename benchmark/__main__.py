"""``python -m benchmark``."""

import os

# Threads of torch that spin while they wait stall each other on a busy machine: beside two other
# programs that use torch, training took twice as long as with passive waiting, which in turn takes
# a third more than spinning on an idle one. A very short spin is near the better of the two in
# both cases. It has to be said before torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # GNU's OpenMP, which Linux builds use


def main() -> None:
    """Run the command line."""
    from benchmark import cli

    cli.main()


if __name__ == "__main__":
    main()
