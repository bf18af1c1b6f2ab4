"""The main job on real input: a story becomes a short film, through the public HTTP API alone.

Deleting this folder breaks nothing else.
"""
