"""The main job on real input: a story's cast and scenes drawn at once, through the public HTTP API alone.

Deleting this folder breaks nothing else.
"""
