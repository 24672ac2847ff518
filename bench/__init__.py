"""Benchmarks: `python -m bench jobs`.

They measure on servers of their own and print ratios of one run.
"""
