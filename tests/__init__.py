"""The tests: of each floor by itself, and of the whole with the real mon, nginx and vsftpd."""
