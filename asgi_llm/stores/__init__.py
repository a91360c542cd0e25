"""What outlives a request. Each kind of store is a protocol with one behaviour suite for all implementations."""
