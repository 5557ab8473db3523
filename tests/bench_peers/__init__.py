"""clew beside its peers, all of them talking to a server on loopback: `make bench-peers`."""
