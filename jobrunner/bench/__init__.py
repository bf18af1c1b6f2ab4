"""`jobrunner bench`: how fast this machine runs jobs, and what holds it back.

The jobs are guests in whatever Postgres and Redis the settings name: they have a queue of their own that no other
worker serves, their worker does no upkeep for others, nobody is told of them, and all of them go when it is over.
"""
