"""The commands of ``descentbench``, with one file for each command."""
