"""Online serving on Ray Serve: gateway, encoder and forecaster side by side, fusion."""
