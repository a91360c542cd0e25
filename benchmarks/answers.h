// What the upstream says, in the words of each wire format: the answer as JSON and the three parts of a stream.
#ifndef ANSWERS_H
#define ANSWERS_H

// The answers of one wire format. `delta` takes the stamp and the sequence number of the chunk; `closing` takes the
// output tokens, the total tokens and three sequence numbers (formats use what they need of them).
struct dialect {
    const char *path, *answer, *opening, *delta, *closing;
};

#define TEXT                                                                                                           \
    "The gateway keeps the bytes of an answer as they came and looks at them only where it has to count. A request "   \
    "that needs no change goes through unchanged, one that needs a change is cut at that place and nowhere else. "     \
    "What remains to be paid is the parsing of two heads, the choice of a worker, a look at the model name and the "   \
    "copying of a body from one socket to another, twice. Streams are different: there every token is an event, and "  \
    "the price of an event is the price of waking up, reading, deciding and writing, some hundred times for every "    \
    "answer. This paragraph exists to be about as long as a short answer of a model usually is."

#define EVENT(type, fields) "event: " type "\ndata: {\"type\":\"" type "\"" fields "}\n\n"

// Chat Completions

#define CHAT_CHUNK(choices, rest)                                                                                      \
    "data: {\"id\":\"chatcmpl-b6f1a2c3d4e5\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,"             \
    "\"model\":\"bench\",\"choices\":[" choices "]" rest "}\n\n"
#define CHAT_CHOICE(delta, finish) "{\"index\":0,\"delta\":" delta ",\"logprobs\":null,\"finish_reason\":" finish "}"

static const char chat_answer[] =
    "{\"id\":\"chatcmpl-b6f1a2c3d4e5\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"bench\","
    "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT "\",\"refusal\":null},"
    "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":512,\"completion_tokens\":180,"
    "\"total_tokens\":692,\"prompt_tokens_details\":{\"cached_tokens\":0}}}";

static const char chat_opening[] = CHAT_CHUNK(CHAT_CHOICE("{\"role\":\"assistant\",\"content\":\"\"}", "null"), "");

static const char chat_delta[] = CHAT_CHUNK(CHAT_CHOICE("{\"content\":\" @%016llx\"}", "null"), "");

static const char chat_closing[] =
    CHAT_CHUNK(CHAT_CHOICE("{}", "\"stop\""), "")
    CHAT_CHUNK("", ",\"usage\":{\"prompt_tokens\":512,\"completion_tokens\":%1$d,\"total_tokens\":%2$d}")
    "data: [DONE]\n\n";

// Messages

static const char messages_answer[] =
    "{\"id\":\"msg_b6f1a2c3d4e5\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"bench\","
    "\"content\":[{\"type\":\"text\",\"text\":\"" TEXT "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
    "\"usage\":{\"input_tokens\":512,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
    "\"output_tokens\":180}}";

static const char messages_opening[] =
    EVENT("message_start", ",\"message\":{\"id\":\"msg_b6f1a2c3d4e5\",\"type\":\"message\",\"role\":\"assistant\","
                           "\"model\":\"bench\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                           "\"usage\":{\"input_tokens\":512,\"output_tokens\":1}}")
    EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}");

static const char messages_delta[] =
    EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" @%016llx\"}");

static const char messages_closing[] =
    EVENT("content_block_stop", ",\"index\":0")
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},"
                           "\"usage\":{\"output_tokens\":%1$d}")
    EVENT("message_stop", "");

// Responses

#define RESPONSE(status, output, usage)                                                                                \
    "{\"id\":\"resp_b6f1a2c3d4e5\",\"object\":\"response\",\"created_at\":1790000000,\"status\":\"" status "\","       \
    "\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"model\":\"bench\",\"output\":[" output "],"    \
    "\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"usage\":" usage "}"
#define RESPONSE_USAGE(output, total)                                                                                  \
    "{\"input_tokens\":512,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":" output ","               \
    "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":" total "}"
#define ITEM(status, content)                                                                                          \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"status\":\"" status "\",\"content\":[" content "]}"
#define ITEM_TEXT(text) "{\"type\":\"output_text\",\"text\":\"" text "\",\"annotations\":[]}"
#define DONE_ITEM ITEM("completed", ITEM_TEXT("done"))
#define IN_PART ",\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0"

static const char responses_answer[] = RESPONSE("completed", ITEM("completed", ITEM_TEXT(TEXT)),
                                                RESPONSE_USAGE("180", "692"));

static const char responses_opening[] =
    EVENT("response.created", ",\"sequence_number\":0,\"response\":" RESPONSE("in_progress", "", "null"))
    EVENT("response.output_item.added",
          ",\"sequence_number\":1,\"output_index\":0,\"item\":" ITEM("in_progress", ""))
    EVENT("response.content_part.added", ",\"sequence_number\":2" IN_PART ",\"part\":" ITEM_TEXT(""));

static const char responses_delta[] =
    EVENT("response.output_text.delta", IN_PART ",\"delta\":\" @%016llx\",\"logprobs\":[],\"sequence_number\":%d");

static const char responses_closing[] =
    EVENT("response.content_part.done", ",\"sequence_number\":%3$d" IN_PART ",\"part\":" ITEM_TEXT("done"))
    EVENT("response.output_item.done", ",\"sequence_number\":%4$d,\"output_index\":0,\"item\":" DONE_ITEM)
    EVENT("response.completed", ",\"sequence_number\":%5$d,\"response\":" RESPONSE("completed", DONE_ITEM,
                                                                                 RESPONSE_USAGE("%1$d", "%2$d")));

static const struct dialect dialects[] = {
    {"/chat/completions", chat_answer, chat_opening, chat_delta, chat_closing},
    {"/messages", messages_answer, messages_opening, messages_delta, messages_closing},
    {"/responses", responses_answer, responses_opening, responses_delta, responses_closing},
};

static const char worker_info[] =
    "{\"status\":\"ok\",\"object\":\"list\",\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":1790000000,"
    "\"owned_by\":\"bench\"}],\"model_path\":\"bench\",\"served_model_name\":\"bench\",\"is_generation\":true}";

#endif
