"""Server-Sent Events: what changes, told as it happens, of one job (`events`) or of all (`watching`)."""
