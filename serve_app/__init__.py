"""Online serving on Ray Serve: gateway, forecaster, and a fusion that gathers candidates while the encoder reads."""
