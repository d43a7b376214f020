"""The commands of ``descentbench``, one in each file."""
