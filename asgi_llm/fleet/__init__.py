"""The live side of the settings: targets with their compiled rules, workers with their own client and state."""
