"""Console script `sequences`: commands that start and operate the other packages."""
