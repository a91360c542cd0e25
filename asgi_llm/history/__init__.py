"""What the gateway remembers between requests: responses, conversations, proofs of thought."""
