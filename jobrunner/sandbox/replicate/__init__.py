"""Replicate's protocol."""
