"""The commands of ``descentbench``, one a file."""
