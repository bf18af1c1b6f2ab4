"""All that talks to Postgres, and the artifact store beside it."""
