"""Work around faults of libraries, one file for each.

A file names the library, the version and the fault. Its test shows that the library still has the
fault: when that test fails after an upgrade, delete the file and its test.
"""
