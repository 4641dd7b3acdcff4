"""Real parts for the tests: processes, servers good and bad, certificates, mon, an installation."""
