"""The benchmark: the block engine beside its peers and beside what the machine allows at best."""
