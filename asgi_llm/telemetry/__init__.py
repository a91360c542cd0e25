"""What can be seen of a gateway from outside: counts, traces, records for the log.

Values in, values out. It knows no exchange and no worker; ``pipeline/observe.py`` tells it of exchanges, and
``asgi/gauges.py`` of everything that is looked at when somebody asks. The libraries that it speaks to
(prometheus-client, opentelemetry-api) are imported only where they are switched on.

Names are those of the OpenTelemetry semantic conventions for generative AI where they have one.
"""
