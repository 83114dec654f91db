"""KPIs of windows from files at rest: a job that can be run again at any time."""
