"""The stages of a run on Ray, one a file, and the run that chains them."""
