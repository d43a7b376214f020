"""Checks for developers: long measurements that test picks, comparisons and scaling."""
