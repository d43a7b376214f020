"""Run the command ``descentbench`` for ``python -m bench``."""

from bench.cli import main

main(prog_name="descentbench")
