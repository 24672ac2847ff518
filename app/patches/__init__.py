"""Work around faults of libraries, one file each."""
