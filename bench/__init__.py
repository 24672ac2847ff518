"""Benchmarks: `python -m bench jobs`.

They start servers of their own, and print ratios within one run.
"""
