"""Makes a tiny language model: a GGUF file of half a megabyte that says real tokens and means none.

The file has everything a large one has: a byte-level vocabulary with merges, control tokens, a chat template with
tools and thoughts, two layers of a llama. So an engine loads it and serves it like any other. Nothing is downloaded.

The weights are random, but for three heads of the first layer that keep the talk in shape: an answer ends only after
its thoughts have ended, and a function is called only where functions are offered and none has been called yet.

    python make_model.py tiny.gguf
"""

import os
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

__all__ = ["MODEL_VERSION", "make_model"]

Matrix = np.ndarray[Any, Any]

MODEL_VERSION = 1
"""Raise it when the file that is made changes, so that one which was made earlier is not used again."""

CONTEXT = 8192
WIDTH = 64
HEADS = 4
LAYERS = 2
INNER = 128

WORDS = """
a about again all and as at bird blue bread by calls cloud cold comes day deep door each east end far field
find fire for from garden gives gold good grows hand harbour has hears high hill home house in into is keeps
lake lamp late leaf light like long low makes moon more morning near never new night north of old on one open
or over paper path quiet rain reads red river road runs salt sand sea sees ship sings slow small snow soft
song south star stays stone summer sun takes tells the then thin time to town tree turns under until walks
wall warm water west when white wide wind window winter wood word
"""
END = "<|im_end|>"
CONTROL = ("<|im_start|>", END)
TAGS = ("<think>", "</think>", "<tool_call>", "<tools>", "<tool_response>")
CLOSED = "</tool_call>"
"""Not one of the tags, since a grammar spells only with ordinary tokens."""

# How likely a token is, as a number added to its logit; words have 0. Under a grammar the tokens have their turn that
# are never said otherwise; spaces come last there too.
NEVER = -40.0
# The last four are the tab, the line feed, the carriage return and the space.
BIASES = {",": 1.5, ".": 1.2, ";": 0.5} | dict.fromkeys("ĉĊčĠ", 2 * NEVER)

# A head looks for a mark in all that was said so far: mark -> (how much it draws the head, what the head then tells).
OFFERED = {"<tools>": (1.0, 1.0), CLOSED: (2.0, 0.0), "<tool_response>": (2.0, 0.0)}
THOUGHT = {"</think>": (1.0, 1.0)}
CALLED = {"<tool_call>": (1.0, 1.0), "<tool_response>": (2.0, 0.0)}
SIGNALS = (OFFERED, THOUGHT, CALLED)
# What the signals add to the logits of a token, in the order above.
EFFECTS = {END: (0.0, 1.5 - NEVER, 0.0), "<tool_call>": (22.5, 22.5, 0.0), CLOSED: (0.0, 0.0, 10.0 - NEVER)}

# The numbers of the width that are not random: the constant, then for each signal what draws, what is told, the signal.
STEADY = 4.0
DRAW, TOLD, SIGNAL = ([first + index for index in range(len(SIGNALS))] for first in (1, 4, 7))
RESERVED = 10

TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'You may call these functions:\\n<tools>' }}
    {%- for tool in tools %}
        {{- '\\n' + (tool | tojson) }}
    {%- endfor %}
    {{- '\\n</tools>\\nA call is a JSON object with name and arguments between tags.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if message.reasoning_content %}
            {{- '<think>\\n' + message.reasoning_content + '\\n</think>\\n\\n' }}
        {%- endif %}
        {%- if message.content %}
            {{- message.content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {{- '<tool_call>{"name": "' + call.function.name + '", "arguments": ' }}
            {{- (call.function.arguments | tojson) + '}</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- else %}
        {{- '<think>\\n' }}
    {%- endif %}
{%- endif %}
"""


def make_model(path: Path, seed: int = 7) -> None:
    """Writes the model to ``path``; the same seed makes the same model. Whoever looks sees all of the file or none."""
    texts, kinds, biases, merges = vocabulary()
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    writer = gguf.GGUFWriter(draft, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(texts))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(texts.index(END))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, values in weights(texts, biases, np.random.default_rng(seed)):
        writer.add_tensor(name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    draft.replace(path)


def vocabulary() -> tuple[list[str], list[int], list[float], list[str]]:
    """Texts, kinds and biases of the tokens, and the merges that build words from bytes."""
    letters = _letters()
    biases = dict.fromkeys(letters, NEVER)
    merges = []
    for word in WORDS.split():
        # A word is built from the left; what it is on the way must be a token too, but is never said.
        spaced = letters[ord(" ")] + word
        for end in range(2, len(spaced) + 1):
            if spaced[:end] not in biases:
                biases[spaced[:end]] = NEVER
                merges.append(f"{spaced[: end - 1]} {spaced[end - 1]}")
    biases.update({letters[ord(" ")] + word: 0.0 for word in WORDS.split()})
    kinds = [int(gguf.TokenType.NORMAL)] * len(biases)
    for texts, kind in (
        ((CLOSED,), gguf.TokenType.NORMAL),
        (CONTROL, gguf.TokenType.CONTROL),
        (TAGS, gguf.TokenType.USER_DEFINED),
    ):
        biases.update(dict.fromkeys(texts, NEVER))
        kinds += [int(kind)] * len(texts)
    biases.update(BIASES)
    return list(biases), kinds, list(biases.values()), merges


def _letters() -> list[str]:
    """For each byte the printable character that stands for it in a byte-level vocabulary."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(256)]


def weights(texts: list[str], biases: list[float], random: np.random.Generator) -> list[tuple[str, Matrix]]:
    """The tensors. One number of the width is the same for all tokens in all layers; the last matrix makes of it what
    the llama architecture does not have, a bias for each token."""

    def matrix(rows: int, columns: int, scale: float = 1.0) -> Matrix:
        values: Matrix = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        return values

    embeddings = matrix(len(texts), WIDTH, np.sqrt(WIDTH))
    embeddings[:, :RESERVED] = [STEADY] + [0.0] * (RESERVED - 1)
    tensors = [("token_embd.weight", embeddings)]
    for layer in range(LAYERS):
        block = {
            "attn_norm": np.ones(WIDTH),
            "attn_q": matrix(WIDTH, WIDTH, 2.0),
            "attn_k": matrix(WIDTH, WIDTH, 2.0),
            "attn_v": matrix(WIDTH, WIDTH),
            "attn_output": matrix(WIDTH, WIDTH),
            "ffn_norm": np.ones(WIDTH),
            "ffn_gate": matrix(INNER, WIDTH),
            "ffn_up": matrix(INNER, WIDTH),
            "ffn_down": matrix(WIDTH, INNER),
        }
        block["attn_output"][:RESERVED] = block["ffn_down"][:RESERVED] = 0.0
        if layer == 0:
            _wire(embeddings, block, texts)
        tensors += [(f"blk.{layer}.{name}.weight", values) for name, values in block.items()]
    output = matrix(len(texts), WIDTH)
    output[:, :RESERVED] = 0.0
    # After the last norm all numbers are smaller, by the same factor of about two.
    output[:, 0] = np.array(biases) * 2.0 / STEADY
    for text, effects in EFFECTS.items():
        output[texts.index(text), SIGNAL] = np.array(effects) * 2.0 / STEADY
    return [*tensors, ("output_norm.weight", np.ones(WIDTH)), ("output.weight", output)]


def _wire(embeddings: Matrix, block: dict[str, Matrix], texts: list[str]) -> None:
    """Makes the first heads of a layer look for marks. Each asks with the constant, is answered by the marks alone, and
    puts ``STEADY`` into its signal where a mark tells 1."""
    size = WIDTH // HEADS
    for head, marks in enumerate(SIGNALS):
        # Positions turn the last pair of a head's numbers the least, so that a mark is found from afar.
        row = (head + 1) * size - 2
        for name in ("attn_q", "attn_k", "attn_v"):
            block[name][head * size : (head + 1) * size] = 0.0
        block["attn_output"][:, head * size : (head + 1) * size] = 0.0
        for text, (draw, told) in marks.items():
            token = embeddings[texts.index(text)]
            token[DRAW[head]], token[TOLD[head]] = draw, told
            # The norm before the layer divides by this.
            token[TOLD[head]] *= np.sqrt(np.mean(token**2))
        block["attn_q"][row, 0] = 4.0
        block["attn_k"][row, DRAW[head]] = 16.0
        block["attn_v"][row, TOLD[head]] = 1.0
        block["attn_output"][SIGNAL[head], row] = STEADY


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
