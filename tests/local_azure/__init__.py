"""Local Azure: a small Azure on the loopback interface, for tests, demos and rehearsals."""
