"""fal.ai's protocol."""
