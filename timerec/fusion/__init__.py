"""Joining taste, momentum, habit and context into one score."""
