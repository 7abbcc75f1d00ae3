"""Disks, their snapshots, and the page-blob data plane that serves them."""
