"""`python -m gateway` and the console script `imagegate`."""

from gateway.cli.main import main

if __name__ == "__main__":
    main(prog_name="imagegate")
