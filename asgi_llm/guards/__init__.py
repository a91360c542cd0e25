"""Guards that come with the gateway: hooks that are made of settings. No dialect and no pipeline is known here."""
