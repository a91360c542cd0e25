// A scripted LLM upstream that is fast enough never to be what is measured.
//
//     upstream PORT
//
// One thread, epoll, HTTP/1.1 with keep-alive. POST to a path that holds /chat/completions, /messages or
// /responses is answered in that dialect: about 1 KB of JSON, or a stream of server-sent events when the body
// says "stream": true. The script of a stream travels in the text of the request, so that it survives every
// gateway and every translation:
//
//     [script chunks=200 spacing_us=10000]
//
// gives 200 text deltas, 10 ms apart (0: back to back), each written by its own send(). The text of a delta is "@" and
// the time of writing (CLOCK_MONOTONIC in nanoseconds, 16 hex digits), from which the driver on the same machine
// computes the latency of every chunk. GET /stats counts; any other GET answers as a healthy worker would.
#define _GNU_SOURCE
#include "answers.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT_TOKENS 512
#define MAX_STREAMS 65536
#define EVENTS_PER_WAIT 512

struct buffer {
    char *data;
    size_t length, capacity;
};

struct connection {
    int fd;
    struct buffer in, out;
    size_t out_sent;
    bool close_after;
    const struct dialect *dialect; // of the running stream, NULL when there is none
    int chunks, next_chunk, slot;
    uint64_t spacing_ns, due_ns;
};

static int epoll_fd;
static struct connection *streams[MAX_STREAMS]; // the running streams, in no order
static int open_streams;
static unsigned long requests, finished_streams, aborted_streams;

static const char stream_head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                                  "cache-control: no-cache\r\nx-request-id: b6f1a2c3d4e5\r\n"
                                  "transfer-encoding: chunked\r\n\r\n";

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void reserve(struct buffer *b, size_t more) {
    if (b->length + more <= b->capacity) return;
    b->capacity = (b->length + more) * 2;
    b->data = realloc(b->data, b->capacity);
    if (!b->data) abort();
}

static void append(struct buffer *b, const char *data, size_t length) {
    reserve(b, length);
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static void append_http_chunk(struct buffer *b, const char *data, int length) {
    char size[16];
    append(b, size, (size_t)sprintf(size, "%x\r\n", (unsigned)length));
    append(b, data, (size_t)length);
    append(b, "\r\n", 2);
}

static void watch(struct connection *c, bool writable) {
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (writable ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
}

// Returns whether everything was written; what the socket does not take is sent when it becomes writable.
static bool flush(struct connection *c) {
    while (c->out_sent < c->out.length) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.length - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            watch(c, errno == EAGAIN); // another error comes back as a hang-up of the connection
            return false;
        }
        c->out_sent += (size_t)n;
    }
    c->out.length = c->out_sent = 0;
    return true;
}

static void start_stream(struct connection *c, const struct dialect *dialect, const char *script) {
    c->dialect = dialect;
    c->chunks = 200;
    c->next_chunk = 0;
    unsigned long spacing_us = 0;
    if (script) sscanf(script, "[script chunks=%d spacing_us=%lu", &c->chunks, &spacing_us);
    c->spacing_ns = spacing_us * 1000u;
    c->due_ns = now_ns();
    c->slot = open_streams;
    streams[open_streams++] = c;
    append(&c->out, stream_head, sizeof stream_head - 1);
    append_http_chunk(&c->out, dialect->opening, (int)strlen(dialect->opening));
}

static void forget_stream(struct connection *c) {
    struct connection *last = streams[--open_streams];
    streams[c->slot] = last;
    last->slot = c->slot;
    c->dialect = NULL;
}

static void end_stream(struct connection *c) {
    char text[2048];
    int n = c->chunks;
    int length = snprintf(text, sizeof text, c->dialect->closing, n, n + INPUT_TOKENS, n + 3, n + 4, n + 5);
    append_http_chunk(&c->out, text, length);
    append(&c->out, "0\r\n\r\n", 5);
    forget_stream(c);
    finished_streams++;
}

// Writes the chunks that are due. Stops where the socket is full, as a real engine would.
static void advance_stream(struct connection *c, uint64_t now) {
    while (c->dialect && c->due_ns <= now && c->out.length == c->out_sent) {
        char text[1024];
        int length = snprintf(text, sizeof text, c->dialect->delta, (unsigned long long)now_ns(), c->next_chunk + 3);
        append_http_chunk(&c->out, text, length);
        c->next_chunk++;
        c->due_ns += c->spacing_ns;
        if (c->next_chunk >= c->chunks) end_stream(c);
        flush(c);
    }
}

static void answer_json(struct connection *c, const char *json) {
    char head[256];
    size_t length = strlen(json);
    int n = sprintf(head,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: b6f1a2c3d4e5\r\n"
                    "content-length: %zu\r\n\r\n",
                    length);
    append(&c->out, head, (size_t)n);
    append(&c->out, json, length);
}

static bool wants_stream(const char *body, size_t length) {
    static const char key[] = "\"stream\":";
    const char *at = memmem(body, length, key, sizeof key - 1);
    if (!at) return false;
    at += sizeof key - 1;
    return !strncmp(at, "true", 4) || !strncmp(at, " true", 5);
}

static void answer(struct connection *c, const char *line, size_t line_length, const char *body, size_t length) {
    requests++;
    for (size_t i = 0; *line == 'P' && i < sizeof dialects / sizeof *dialects; i++) {
        const struct dialect *d = &dialects[i];
        if (!memmem(line, line_length, d->path, strlen(d->path))) continue;
        if (!wants_stream(body, length) || open_streams == MAX_STREAMS)
            answer_json(c, d->answer);
        else
            start_stream(c, d, memmem(body, length, "[script ", 8));
        return;
    }
    if (memmem(line, line_length, " /stats", 7)) {
        char text[160];
        sprintf(text, "{\"requests\":%lu,\"open\":%d,\"finished\":%lu,\"aborted\":%lu}", requests, open_streams,
                finished_streams, aborted_streams);
        answer_json(c, text);
    } else {
        answer_json(c, worker_info);
    }
}

// The length of the body whose head lies before `body`, or -1 when not all of a chunked body has come.
static ssize_t body_length(const char *head, const char *body, const char *end) {
    const char *field = strcasestr(head, "\ncontent-length:");
    if (field) return atol(field + 16);
    if (!strcasestr(head, "\ntransfer-encoding: chunked")) return 0;
    const char *last = memmem(body - 2, (size_t)(end - body + 2), "\r\n0\r\n\r\n", 7);
    return last ? last + 7 - body : -1;
}

// Answers the requests that are complete in the input; a stream must end before the next one is looked at.
static void serve(struct connection *c) {
    while (!c->dialect && c->in.length) {
        char *head_end = memmem(c->in.data, c->in.length, "\r\n\r\n", 4);
        if (!head_end) return;
        char *body = head_end + 4;
        *head_end = 0; // the head is a string while it is searched
        ssize_t length = body_length(c->in.data, body, c->in.data + c->in.length);
        c->close_after = strcasestr(c->in.data, "\nconnection: close") != NULL;
        *head_end = '\r';
        size_t whole = (size_t)(body - c->in.data) + (length > 0 ? (size_t)length : 0);
        if (length < 0 || c->in.length < whole) return;
        char *line_end = memchr(c->in.data, '\r', c->in.length);
        answer(c, c->in.data, (size_t)(line_end - c->in.data), body, (size_t)length);
        c->in.length -= whole;
        memmove(c->in.data, c->in.data + whole, c->in.length);
        flush(c);
        if (c->dialect) advance_stream(c, now_ns());
    }
}

static void drop(struct connection *c) {
    if (c->dialect) {
        forget_stream(c);
        aborted_streams++;
    }
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

// Returns false when the peer is gone.
static bool receive(struct connection *c) {
    for (;;) {
        reserve(&c->in, 16384);
        size_t room = c->in.capacity - c->in.length - 1;
        ssize_t n = recv(c->fd, c->in.data + c->in.length, room, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
        if (n < 0) return true;
        c->in.length += (size_t)n;
        c->in.data[c->in.length] = 0; // the input is a string, for the searches in it
        if ((size_t)n < room) return true;
    }
}

static void handle(struct connection *c, uint32_t events) {
    if (events & EPOLLOUT && flush(c)) {
        watch(c, false);
        if (c->dialect) advance_stream(c, now_ns());
    }
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !receive(c)) {
        drop(c);
        return;
    }
    serve(c);
    if (c->close_after && !c->dialect && c->out.length == c->out_sent) drop(c);
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) abort();
        c->fd = fd;
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("upstream: cannot listen");
        exit(1);
    }
    return fd;
}

// Lets every stream write what is due; returns the milliseconds to the next chunk, -1 when no stream waits for time.
static int run_streams(void) {
    uint64_t now = now_ns(), next = UINT64_MAX;
    for (int i = open_streams - 1; i >= 0; i--) { // downwards: an ended stream is replaced by one already seen
        struct connection *c = streams[i];
        advance_stream(c, now);
        if (!c->dialect)
            serve(c); // a pipelined request may wait behind the stream that ended
        else if (c->out.length == c->out_sent && c->due_ns < next)
            next = c->due_ns;
    }
    if (next == UINT64_MAX) return -1;
    return next <= now ? 0 : (int)((next - now + 999999) / 1000000);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: upstream PORT\n");
        return 2;
    }
    epoll_fd = epoll_create1(0);
    int listener = listen_on(atoi(argv[1]));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS_PER_WAIT];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS_PER_WAIT, run_streams());
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                handle(events[i].data.ptr, events[i].events);
            else
                accept_all(listener);
        }
    }
}
