"""The ASGI edge: scope, receive and send on one side, the pipeline on the other. No policy lives here."""
