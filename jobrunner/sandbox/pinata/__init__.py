"""Pinata's protocol, and pins addressed by their content."""
