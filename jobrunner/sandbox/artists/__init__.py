"""Those who draw, speak, compose and film offline."""
