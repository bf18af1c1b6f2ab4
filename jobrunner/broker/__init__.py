"""All that talks to Redis. Redis only says "now": every key here can be lost and is made again from Postgres."""
