"""`python -m fourfold` is the `fourfold` command, for launchers such as torchrun."""

from fourfold.cli import main

if __name__ == "__main__":
    main()
