"""Monitors and an alert for mon that keep the table of a Linux Virtual Server right."""

__version__ = "0.1.0"
