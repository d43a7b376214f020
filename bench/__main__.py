"""Run ``descentbench`` when Python is called as ``python -m bench``."""

from bench.cli import main

main(prog_name="descentbench")
