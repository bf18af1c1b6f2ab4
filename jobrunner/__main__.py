"""`python -m jobrunner` is `jobrunner`."""

from jobrunner.cli import main

if __name__ == "__main__":  # the sandbox's artist imports this module in a process of its own
    main()
