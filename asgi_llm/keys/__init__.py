"""Keys that the gateway issues: made, looked up, and looked after."""
