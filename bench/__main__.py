"""``python -m bench`` is ``descentbench``."""

from bench.cli import main

main(prog_name="descentbench")
