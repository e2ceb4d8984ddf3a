"""Faults at random against a running service, and a checker that reads SQL and files on its own."""
