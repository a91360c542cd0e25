"""llama.cpp's server as a process of its own: serves a model file over HTTP until its standard input is closed.

The package xllamacpp brings the server inside a Python extension. Here it is a separate process, as an engine is
wherever it does real work, and it ends with whoever started it.

    ENGINE_KEY=secret python engine.py tiny.gguf
"""

import os
import sys

import xllamacpp

MODEL = "tiny"


def main() -> None:
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.model_alias = {MODEL}
    params.api_keys = [os.environ["ENGINE_KEY"]]
    params.port = 0  # any that is free
    params.ui = False
    params.verbosity = 1  # only what goes wrong
    params.warmup = False
    params.fit_params = False
    # The model is so small that more threads would only wait for each other.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_parallel = 4
    params.n_ctx = 4 * 8192
    params.sampling.seed = 7
    # The engine ends the thoughts: the model would never.
    params.sampling.reasoning_budget_tokens = 10
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
