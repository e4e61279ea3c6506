"""Public data sets as data set directories, ready for `prepare`."""
