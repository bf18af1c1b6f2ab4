"""`jobrunner bench`: how fast this machine runs jobs, and what holds it back.

The jobs are guests in whatever Postgres and Redis the settings name: those of a workload have a queue of their own,
which no other worker serves, their workers do no upkeep for others, nobody is told of them, and all of them go when it
is over.
"""
