"""Leak-free judging: protocol, metrics, baselines, report."""
