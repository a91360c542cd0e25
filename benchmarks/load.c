// The load driver: many connections on one thread, and every latency that matters in one line of JSON.
//
//     load -p PORT -u PATH -b BODY_FILE [-c connections] [-t seconds] [-w warm-up seconds] [-m ramp-up milliseconds]
//          [-r requests per second] [-e chunks of a whole stream] [-H 'name: value']... [-s]
//
// Closed loop: each connection sends its next request when its answer has ended. With -r a fixed rate: requests are
// due at even intervals and latency counts from the due time, so that a slow answer cannot hide behind itself.
// A stream from upstream.c carries "@" and the time of writing in every delta; the driver reads them wherever the
// reads happen to cut and reports the way of each chunk through the system. With -e a stream with fewer or more
// chunks is an error, as are statuses other than 200 and broken connections.
// -s: say "measuring" when the warm-up is over and, after the result, keep the connections open until standard input
// ends, so that whoever started the driver can look at the system at these two moments.
#define _GNU_SOURCE
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

#define SECOND 1000000000ull
#define HEAD_LIMIT 8192
#define EVENTS_PER_WAIT 512

// Where in the answer a connection is. SIZE to TRAILER belong to the chunked coding.
enum place { IDLE, HEAD, SIZE, DATA, DATA_END, TRAILER, FIXED, UNTIL_CLOSE };

struct connection {
    int fd;
    enum place place;
    bool closes, failed;
    size_t sent, head_length, remaining, line_length;
    uint64_t due_ns, first_ns, stamp;
    int stamp_digits; // -1 outside of a stamp
    long chunks;
    char head[HEAD_LIMIT + 1];
};

struct samples {
    float *ms;
    size_t count, capacity;
};

static struct {
    int port, connections, ramp_ms;
    const char *path, *body_file;
    char headers[4096];
    double seconds, warmup, rate;
    long chunks;
    bool synchronous;
} options = {.connections = 32, .path = "/", .seconds = 3, .warmup = 0.3, .chunks = -1};

static int epoll_fd;
static char *request;
static size_t request_length;
static struct connection *connections, **idle;
static int idle_count;
static uint64_t start_ns, window_ns, end_ns;
static struct samples latency, first_byte, chunk_latency;
static unsigned long done, errors, bytes, opened, late;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void add(struct samples *s, uint64_t ns) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 65536;
        s->ms = realloc(s->ms, s->capacity * sizeof *s->ms);
        if (!s->ms) abort();
    }
    s->ms[s->count++] = (float)ns / 1e6f;
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s) {
    printf(",\"%s\":", name);
    if (!s->count) {
        printf("null");
        return;
    }
    qsort(s->ms, s->count, sizeof *s->ms, compare);
    size_t last = s->count - 1;
    printf("{\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f}", s->ms[last / 2],
           s->ms[(size_t)((double)last * 0.9)], s->ms[(size_t)((double)last * 0.99)], s->ms[last]);
}

static void watch(struct connection *c, int operation, bool writable) {
    struct epoll_event e = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(epoll_fd, operation, c->fd, &e);
}

static void open_connection(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)) {
        perror("load: cannot connect");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    opened++;
    watch(c, EPOLL_CTL_ADD, true);
}

static void close_connection(struct connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void send_request(struct connection *c) {
    while (c->sent < request_length) {
        ssize_t n = send(c->fd, request + c->sent, request_length - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN || errno == ENOTCONN) watch(c, EPOLL_CTL_MOD, true);
            return; // any other error is seen by the next read
        }
        c->sent += (size_t)n;
    }
    watch(c, EPOLL_CTL_MOD, false);
}

static void begin(struct connection *c, uint64_t due_ns) {
    c->place = HEAD;
    c->closes = c->failed = false;
    c->sent = c->head_length = 0;
    c->chunks = 0;
    c->stamp_digits = -1;
    c->first_ns = 0;
    c->due_ns = due_ns;
    if (c->fd < 0) open_connection(c);
    send_request(c);
}

static void finish(struct connection *c, bool whole, uint64_t now) {
    c->place = IDLE;
    bool right = whole && !c->failed && (options.chunks < 0 || c->chunks == options.chunks);
    if (now >= window_ns && now < end_ns) {
        if (right) {
            done++;
            add(&latency, now - c->due_ns);
            if (c->first_ns) add(&first_byte, c->first_ns - c->due_ns);
        } else {
            errors++;
        }
    }
    if (!whole || c->closes) close_connection(c);
    if (options.rate > 0)
        idle[idle_count++] = c;
    else if (now < end_ns)
        begin(c, now);
}

static int hex_digit(char ch) {
    if (ch >= '0' && ch <= '9') return ch - '0';
    ch |= 32;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

// Finds the stamps in a piece of a body; a stamp may be spread over several pieces.
static void read_stamps(struct connection *c, const char *at, const char *end, uint64_t now) {
    while (at < end) {
        if (c->stamp_digits < 0) {
            at = memchr(at, '@', (size_t)(end - at));
            if (!at++) return;
            c->stamp_digits = 0;
            c->stamp = 0;
            continue;
        }
        int digit = hex_digit(*at++);
        c->stamp = c->stamp << 4 | (uint64_t)(digit & 15);
        c->stamp_digits = digit < 0 ? -1 : c->stamp_digits + 1;
        if (c->stamp_digits < 16) continue;
        c->stamp_digits = -1;
        c->chunks++;
        if (now >= window_ns && now < end_ns && now >= c->stamp) add(&chunk_latency, now - c->stamp);
    }
}

static void take_body(struct connection *c, const char *data, size_t length, uint64_t now) {
    if (!c->first_ns) c->first_ns = now;
    if (now >= window_ns) bytes += length;
    read_stamps(c, data, data + length, now);
}

// Collects the head of the answer; returns the bytes used of this piece.
static size_t read_head(struct connection *c, const char *data, size_t length, uint64_t now) {
    size_t before = c->head_length, room = HEAD_LIMIT - before;
    if (length > room) length = room;
    memcpy(c->head + before, data, length);
    c->head_length += length;
    c->head[c->head_length] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) {
        if (c->head_length == HEAD_LIMIT) finish(c, false, now);
        return length;
    }
    size_t used = (size_t)(end + 4 - c->head) - before;
    end[2] = 0;
    c->failed = strncmp(c->head + 8, " 200", 4) != 0;
    c->closes = strcasestr(c->head, "\nconnection: close") != NULL;
    const char *size = strcasestr(c->head, "\ncontent-length:");
    if (strcasestr(c->head, "\ntransfer-encoding: chunked")) {
        c->place = SIZE;
        c->remaining = 0;
    } else if (size) {
        c->place = FIXED;
        c->remaining = strtoul(size + 16, NULL, 10);
        if (!c->remaining) finish(c, true, now);
    } else {
        c->place = UNTIL_CLOSE;
        c->closes = true;
    }
    return used;
}

// Takes the part of an answer that begins at `data`, as far as its place reaches; returns the bytes used.
static size_t read_part(struct connection *c, const char *data, size_t length, uint64_t now) {
    size_t part = length < c->remaining ? length : c->remaining;
    int digit;
    switch (c->place) {
    case HEAD:
        return read_head(c, data, length, now);
    case UNTIL_CLOSE:
        take_body(c, data, length, now);
        return length;
    case FIXED:
        take_body(c, data, part, now);
        c->remaining -= part;
        if (!c->remaining) finish(c, true, now);
        return part;
    case SIZE:
        digit = hex_digit(*data);
        if (digit >= 0) c->remaining = c->remaining << 4 | (size_t)digit;
        if (*data == '\n') c->place = c->remaining ? DATA : TRAILER;
        c->line_length = 0;
        return 1;
    case DATA:
        take_body(c, data, part, now);
        c->remaining -= part;
        if (!c->remaining) c->place = DATA_END;
        return part;
    case DATA_END:
        if (*data == '\n') c->place = SIZE;
        return 1;
    case TRAILER:
        if (*data == '\n' && c->line_length <= 1) finish(c, true, now); // an empty line, with its carriage return
        c->line_length = *data == '\n' ? 0 : c->line_length + 1;
        return 1;
    case IDLE:
        break;
    }
    return length; // bytes that nobody asked for
}

static void receive(struct connection *c) {
    static char piece[262144];
    for (;;) {
        ssize_t n = recv(c->fd, piece, sizeof piece, 0);
        uint64_t now = now_ns();
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            if (c->place == IDLE)
                close_connection(c);
            else
                finish(c, n == 0 && c->place == UNTIL_CLOSE, now);
            return;
        }
        for (size_t used = 0; used < (size_t)n && c->place != IDLE;) {
            enum place before = c->place;
            used += read_part(c, piece + used, (size_t)n - used, now);
            if (before != HEAD && c->place == HEAD) return; // the answer ended and the next request is on its way
            if (c->fd < 0) return;
        }
        if ((size_t)n < sizeof piece) return;
    }
}

// Starts what is due; returns the time of the next start.
static uint64_t launch(uint64_t now) {
    static unsigned long started;
    if (options.rate <= 0) {
        uint64_t step = (uint64_t)options.ramp_ms * 1000000u / (uint64_t)options.connections;
        while (started < (unsigned long)options.connections && start_ns + started * step <= now)
            begin(&connections[started++], now);
        return started < (unsigned long)options.connections ? start_ns + started * step : end_ns;
    }
    for (;;) {
        uint64_t due = start_ns + (uint64_t)((double)started * 1e9 / options.rate);
        if (due > now) return due;
        if (!idle_count) {
            late++; // every connection is busy: the request waits, and its latency with it
            return end_ns;
        }
        started++;
        begin(idle[--idle_count], due);
    }
}

static void run(void) {
    struct epoll_event events[EVENTS_PER_WAIT];
    bool announced = false;
    for (;;) {
        uint64_t now = now_ns();
        if (now >= end_ns) return;
        if (!announced && now >= window_ns) {
            announced = true;
            if (options.synchronous) puts("measuring");
            fflush(stdout);
        }
        uint64_t next = launch(now), stop = announced ? end_ns : window_ns;
        now = now_ns();
        if (next > stop) next = stop;
        uint64_t wait = next > now ? next - now : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
        int n = epoll_pwait2(epoll_fd, events, EVENTS_PER_WAIT, &timeout, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT && c->place != IDLE) send_request(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
    }
}

static void report(void) {
    double seconds = (double)(now_ns() - window_ns) / 1e9;
    int unfinished = 0;
    for (int i = 0; i < options.connections; i++) unfinished += connections[i].place != IDLE;
    printf("{\"seconds\":%.4f,\"requests\":%lu,\"errors\":%lu,\"chunks\":%zu,\"bytes\":%lu,\"opened\":%lu,\"late\":%lu,"
           "\"unfinished\":%d",
           seconds, done, errors, chunk_latency.count, bytes, opened, late, unfinished);
    print_samples("latency_ms", &latency);
    print_samples("first_byte_ms", &first_byte);
    print_samples("chunk_ms", &chunk_latency);
    puts("}");
    fflush(stdout);
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        perror(path);
        exit(1);
    }
    *length = (size_t)ftell(file);
    rewind(file);
    char *data = malloc(*length + 1);
    if (!data || fread(data, 1, *length, file) != *length) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return data;
}

static void build_request(void) {
    size_t length = 0;
    char *body = options.body_file ? read_file(options.body_file, &length) : "";
    request = malloc(length + sizeof options.headers + 1024);
    if (!request) abort();
    int head = sprintf(request,
                       "%s %.512s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nuser-agent: load/1\r\naccept: */*\r\n%s"
                       "content-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                       options.body_file ? "POST" : "GET", options.path, options.port, options.headers, length);
    memcpy(request + head, body, length);
    request_length = (size_t)head + length;
}

static void add_header(const char *line) {
    size_t used = strlen(options.headers);
    if (used + strlen(line) + 3 > sizeof options.headers) {
        fprintf(stderr, "load: too many headers\n");
        exit(2);
    }
    sprintf(options.headers + used, "%s\r\n", line);
}

static void parse_options(int argc, char **argv) {
    int option;
    while ((option = getopt(argc, argv, "p:u:b:c:t:w:m:r:e:H:s")) != -1) {
        switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'u': options.path = optarg; break;
        case 'b': options.body_file = optarg; break;
        case 'c': options.connections = atoi(optarg); break;
        case 't': options.seconds = atof(optarg); break;
        case 'w': options.warmup = atof(optarg); break;
        case 'm': options.ramp_ms = atoi(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'e': options.chunks = atol(optarg); break;
        case 'H': add_header(optarg); break;
        case 's': options.synchronous = true; break;
        default: exit(2);
        }
    }
    if (!options.port || options.connections < 1) {
        fprintf(stderr, "load: -p PORT and at least one connection are needed\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    build_request();
    epoll_fd = epoll_create1(0);
    connections = calloc((size_t)options.connections, sizeof *connections);
    idle = calloc((size_t)options.connections, sizeof *idle);
    if (!connections || !idle) abort();
    for (int i = 0; i < options.connections; i++) {
        connections[i].fd = -1;
        if (options.rate > 0) idle[idle_count++] = &connections[i];
    }
    start_ns = now_ns();
    window_ns = start_ns + (uint64_t)(options.warmup * 1e9);
    end_ns = window_ns + (uint64_t)(options.seconds * 1e9);
    run();
    report();
    if (options.synchronous)
        while (getchar() != EOF) {
        }
    return 0;
}
