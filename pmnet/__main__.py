"""`python -m pmnet` is the command `pmnet`."""

from pmnet.cli import main

if __name__ == "__main__":
    main()
