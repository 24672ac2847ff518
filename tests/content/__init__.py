"""Tests of editable pages."""
