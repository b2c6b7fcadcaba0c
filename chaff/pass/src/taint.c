/*
 * The run-time part of instrumented programs: which bytes of the input a value is made of, and how.
 *
 * Every value has a label; 0 is a value without input. A label names a node of an expression over input bytes, and nodes
 * are never changed or freed, so a node's operands have smaller labels. Memory has one label per byte, in a table that
 * grows with use. At exit, or at _exit, the process writes what it saw to a file of the directory HUSK_CHAFF_RECORD.
 * Input is the file HUSK_CHAFF_INPUT, and what sockets receive. Threads share the tables without locks: then labels may
 * be lost, which costs sites and nothing else, since every trigger is tried out before it is believed.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

typedef uint32_t label;

enum operation { NONE, BYTE, ADD, SUB, MUL, AND, OR, XOR, SHL, LSHR, ASHR, ZEXT, SEXT, TRUNC, EXTRACT, CONCAT, OPAQUE };
static const char *const names[] = { 0, 0, "add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr",
                                     "zext", "sext", "trunc", "extract", "concat", 0 };

struct node {
    uint8_t operation, width, from, size; /* widths in bits; size counts nodes and saturates */
    label a, b;
    uint64_t ka, kb; /* operands without label */
};

enum { NODES = 1 << 22, BUCKETS = 1 << 23, LARGEST = 60, SAMPLES = 2, ARGUMENTS = 64, DESCRIPTORS = 1 << 16 };

static struct node *nodes;
static label *buckets, **shadow;
static uint32_t *branches;
static label used = 1;

struct value { uint64_t count, low, high; struct { uint64_t ordinal, value; label label; } sample[SAMPLES]; uint32_t samples; };
static struct value *values;
static const uint32_t most_values = 1 << 22;
static uint32_t value_end;

static label arguments[ARGUMENTS], returned;
static const char *record;
static struct stat input;
static int has_input;
static uint64_t received[DESCRIPTORS];

static void *reserve(size_t size) {
    void *place = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) abort();
    return place;
}

__attribute__((constructor(101))) static void begin(void) {
    if (nodes) return;
    nodes = reserve(sizeof *nodes * NODES);
    buckets = reserve(sizeof *buckets * BUCKETS);
    branches = reserve(sizeof *branches * NODES);
    values = reserve(sizeof *values * most_values);
    shadow = reserve(sizeof *shadow * (1 << 15));
    record = getenv("HUSK_CHAFF_RECORD");
    const char *path = getenv("HUSK_CHAFF_INPUT");
    has_input = path && stat(path, &input) == 0;
}

static label make(struct node node) {
    uint64_t hash = node.operation * 31u + node.width * 7u + node.from;
    hash = (hash ^ node.a) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ node.b) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ node.ka) * 0x9e3779b97f4a7c15u;
    hash = (hash ^ node.kb) * 0x9e3779b97f4a7c15u;
    for (uint64_t slot = hash >> 41;; slot++) {
        label *bucket = &buckets[slot & (BUCKETS - 1)];
        if (*bucket == 0) {
            if (used >= NODES) return 0;
            nodes[used] = node;
            return *bucket = used++;
        }
        if (memcmp(&nodes[*bucket], &node, sizeof node) == 0) return *bucket;
    }
}

static label combine(int operation, int width, int from, label a, label b, uint64_t ka, uint64_t kb) {
    unsigned size = 1u + nodes[a].size + nodes[b].size;
    if (nodes[a].operation == OPAQUE || nodes[b].operation == OPAQUE || size > LARGEST) {
        operation = OPAQUE;
        size = 1;
        ka = kb = 0;
        width = from = 0;
        if (a == b || b == 0) { if (nodes[a].operation == OPAQUE) return a; b = 0; }
        else if (a == 0) { if (nodes[b].operation == OPAQUE) return b; a = b; b = 0; }
    }
    return make((struct node){ operation, width, from, size, a, b, a ? 0 : ka, b ? 0 : kb });
}

label __taint_operation(uint32_t operation, uint32_t width, uint32_t from, label a, label b, uint64_t ka, uint64_t kb) {
    if ((a | b) == 0) return 0;
    return combine(operation, width, from, a, b, ka, kb);
}

static label *of(const void *address) {
    uint64_t number = (uint64_t)address & ((1ull << 47) - 1);
    label **part = &shadow[number >> 32];
    if (!*part) *part = reserve(sizeof(label) << 32);
    return *part + (number & 0xffffffff);
}

label __taint_load(const void *address, uint32_t size) {
    if (!nodes) return 0;
    label any = 0, bytes[8];
    for (uint32_t i = 0; i < size; i++) any |= bytes[i] = *of((const char *)address + i);
    if (!any) return 0;
    /* All bytes of one stored value: that value. */
    struct node *first = &nodes[bytes[0]];
    if (first->operation == EXTRACT && first->kb == 0 && nodes[first->a].width == size * 8) {
        uint32_t i = 1;
        while (i < size && nodes[bytes[i]].operation == EXTRACT && nodes[bytes[i]].a == first->a && nodes[bytes[i]].kb == i) i++;
        if (i == size) return first->a;
    }
    label whole = bytes[0];
    uint64_t known = *(const uint8_t *)address;
    for (uint32_t i = 1; i < size; i++) {
        uint64_t next = ((const uint8_t *)address)[i];
        if (whole | bytes[i]) whole = combine(CONCAT, (i + 1) * 8, i * 8, whole, bytes[i], known, next);
        known |= next << (i * 8);
    }
    return whole;
}

/* One byte of a value, taken from the part it came from where that is known. */
static label extract(label value, uint32_t index, uint64_t *known) {
    struct node *node = &nodes[value];
    *known = 0;
    if (node->operation == BYTE && index == 0) return value;
    if (node->operation == CONCAT) {
        label part = index * 8 >= node->from ? node->b : node->a;
        if (!part) { *known = index * 8 >= node->from ? node->kb : node->ka >> (index * 8) & 0xff; return 0; }
        return extract(part, index * 8 >= node->from ? index - node->from / 8 : index, known);
    }
    if (node->operation == ZEXT && node->from % 8 == 0) {
        if (index * 8 >= node->from) return 0;
        return extract(node->a, index, known);
    }
    return combine(EXTRACT, 8, node->width, value, 0, 0, index);
}

label __taint_swap(label value, uint32_t width) {
    if (!value || nodes[value].operation == OPAQUE) return value;
    uint64_t known, next;
    uint32_t last = width / 8 - 1;
    label whole = extract(value, last, &known);
    for (uint32_t i = 1; i <= last; i++) {
        label byte = extract(value, last - i, &next);
        if (whole | byte) whole = combine(CONCAT, (i + 1) * 8, i * 8, whole, byte, known, next);
        known |= next << (i * 8);
    }
    return whole;
}

void __taint_store(void *address, uint32_t size, label value) {
    if (!nodes) return;
    for (uint32_t i = 0; i < size; i++) {
        label *place = of((char *)address + i);
        label byte = value;
        uint64_t known;
        if (value && size > 1) byte = nodes[value].operation == OPAQUE ? value : extract(value, i, &known);
        if (*place != byte) *place = byte;
    }
}

void __taint_copy(void *to, const void *from, uint64_t size) {
    if (!nodes || to == from) return;
    for (uint64_t i = 0; i < size; i++) {
        uint64_t at = to < from ? i : size - 1 - i;
        label value = *of((const char *)from + at), *place = of((char *)to + at);
        if (*place != value) *place = value;
    }
}

void __taint_clear(void *address, uint64_t size) {
    if (!nodes) return;
    for (uint64_t i = 0; i < size; i++) {
        label *place = of((char *)address + i);
        if (*place) *place = 0;
    }
}

void __taint_branch(label condition) {
    if (condition && branches[condition] < 1u << 30) branches[condition]++;
}

void __taint_value(uint32_t number, label of_value, uint64_t value) {
    if (number >= most_values || !nodes) return;
    struct value *entry = &values[number];
    if (number >= value_end) value_end = number + 1;
    if (entry->count == 0 || value < entry->low) entry->low = value;
    if (entry->count == 0 || value > entry->high) entry->high = value;
    if (of_value && entry->samples < SAMPLES && nodes[of_value].operation != OPAQUE) {
        uint32_t at = entry->samples++;
        entry->sample[at].ordinal = entry->count;
        entry->sample[at].value = value;
        entry->sample[at].label = of_value;
    }
    entry->count++;
}

void __taint_set_argument(uint32_t index, label value) { if (index < ARGUMENTS) arguments[index] = value; }
label __taint_argument(uint32_t index) { return index < ARGUMENTS ? arguments[index] : 0; }
void __taint_set_return(label value) { returned = value; }
label __taint_return(void) { return returned; }

/* Whether an expression can be written down, and the liveness of its bytes: the most branches any had a part in. */
static int writable(label value, uint64_t *liveness) {
    struct node *node = &nodes[value];
    if (node->operation == OPAQUE || node->width == 0 || node->width % 8) return 0;
    if (node->operation == BYTE) {
        if (branches[value] > *liveness) *liveness = branches[value];
        return 1;
    }
    return (!node->a || writable(node->a, liveness)) && (!node->b || writable(node->b, liveness));
}

static void write_operand(FILE *file, label value, unsigned width, uint64_t known);

static void write_expression(FILE *file, label value) {
    struct node *node = &nodes[value];
    if (node->operation == BYTE) { fprintf(file, "b%llu", (unsigned long long)node->ka); return; }
    fprintf(file, "(%s %u ", names[node->operation], node->width);
    write_operand(file, node->a, node->operation == CONCAT ? node->from : node->width, node->ka);
    if (node->operation < ZEXT || node->operation > TRUNC) {
        fputc(' ', file);
        write_operand(file, node->b, node->operation == CONCAT ? 8 : node->width, node->kb);
    }
    fputc(')', file);
}

static void write_operand(FILE *file, label value, unsigned width, uint64_t known) {
    if (value) write_expression(file, value);
    else fprintf(file, "k%u:%llu", width, (unsigned long long)known);
}

__attribute__((destructor)) static void end(void) {
    if (!record || !nodes) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", record, (int)getpid());
    record = 0;
    FILE *file = fopen(path, "w");
    if (!file) return;
    for (label i = used - 1; i > 0; i--) {
        struct node *node = &nodes[i];
        if (node->operation == BYTE || !branches[i]) continue;
        label operands[2] = { node->a, node->b };
        for (int j = 0; j < 2; j++)
            if (operands[j] && branches[operands[j]] < 1u << 30) branches[operands[j]] += branches[i];
    }
    for (uint32_t i = 0; i < value_end; i++) {
        struct value *entry = &values[i];
        if (!entry->count) continue;
        fprintf(file, "C %u %llu %llu %llu\n", i, (unsigned long long)entry->count, (unsigned long long)entry->low,
                (unsigned long long)entry->high);
        for (uint32_t j = 0; j < entry->samples; j++) {
            uint64_t liveness = 0;
            if (!writable(entry->sample[j].label, &liveness)) continue;
            fprintf(file, "S %u %llu %llu %llu ", i, (unsigned long long)entry->sample[j].ordinal,
                    (unsigned long long)entry->sample[j].value, (unsigned long long)liveness);
            write_expression(file, entry->sample[j].label);
            fputc('\n', file);
        }
    }
    fclose(file);
}

/* Where input comes from. The linker sends the program's calls of these functions here. */

static int is_socket(const struct stat *status, int descriptor) {
    return S_ISSOCK(status->st_mode) && descriptor >= 0 && descriptor < DESCRIPTORS;
}

static void taint(void *address, uint64_t size, uint64_t offset) {
    begin();
    for (uint64_t i = 0; i < size; i++)
        *of((char *)address + i) = make((struct node){ BYTE, 8, 0, 1, 0, 0, offset + i, 0 });
}

static int is_input(int descriptor) {
    struct stat status;
    return has_input && fstat(descriptor, &status) == 0 && status.st_dev == input.st_dev && status.st_ino == input.st_ino;
}

static void came(int descriptor, void *address, ssize_t size, off_t offset) {
    struct stat status;
    if (size <= 0) return;
    if (is_input(descriptor)) {
        if (offset < 0) offset = lseek(descriptor, 0, SEEK_CUR) - size;
        if (offset >= 0) { taint(address, size, offset); return; }
    } else if (has_input && fstat(descriptor, &status) == 0 && is_socket(&status, descriptor)) {
        taint(address, size, received[descriptor]);
        received[descriptor] += size;
        return;
    }
    __taint_clear(address, size);
}

ssize_t __real_read(int, void *, size_t);
ssize_t __wrap_read(int descriptor, void *address, size_t size) {
    ssize_t got = __real_read(descriptor, address, size);
    came(descriptor, address, got, -1);
    returned = 0;
    return got;
}

ssize_t __real_pread(int, void *, size_t, off_t);
ssize_t __wrap_pread(int descriptor, void *address, size_t size, off_t offset) {
    ssize_t got = __real_pread(descriptor, address, size, offset);
    came(descriptor, address, got, offset);
    returned = 0;
    return got;
}
ssize_t __wrap_pread64(int descriptor, void *address, size_t size, off_t offset) {
    return __wrap_pread(descriptor, address, size, offset);
}

ssize_t __real_recv(int, void *, size_t, int);
ssize_t __wrap_recv(int descriptor, void *address, size_t size, int flags) {
    ssize_t got = __real_recv(descriptor, address, size, flags);
    if (!(flags & MSG_PEEK)) came(descriptor, address, got, -1);
    returned = 0;
    return got;
}

ssize_t __real_readv(int, const struct iovec *, int);
ssize_t __wrap_readv(int descriptor, const struct iovec *parts, int count) {
    ssize_t got = __real_readv(descriptor, parts, count), left = got;
    off_t offset = got > 0 && is_input(descriptor) ? lseek(descriptor, 0, SEEK_CUR) - got : -1;
    for (int i = 0; i < count && left > 0; i++) {
        ssize_t here = left < (ssize_t)parts[i].iov_len ? left : (ssize_t)parts[i].iov_len;
        came(descriptor, parts[i].iov_base, here, offset);
        if (offset >= 0) offset += here;
        left -= here;
    }
    returned = 0;
    return got;
}

int __real_accept(int, struct sockaddr *, socklen_t *);
int __wrap_accept(int listener, struct sockaddr *address, socklen_t *length) {
    int descriptor = __real_accept(listener, address, length);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) received[descriptor] = 0;
    returned = 0;
    return descriptor;
}
int __real_accept4(int, struct sockaddr *, socklen_t *, int);
int __wrap_accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
    int descriptor = __real_accept4(listener, address, length, flags);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) received[descriptor] = 0;
    returned = 0;
    return descriptor;
}

static void stream(FILE *file, void *address, size_t size) {
    off_t end = size ? ftello(file) : -1;
    if (size && is_input(fileno(file)) && end >= (off_t)size) taint(address, size, end - size);
    else __taint_clear(address, size);
    returned = 0;
}

size_t __real_fread(void *, size_t, size_t, FILE *);
size_t __wrap_fread(void *address, size_t size, size_t count, FILE *file) {
    size_t got = __real_fread(address, size, count, file);
    stream(file, address, got * size);
    return got;
}
size_t __wrap_fread_unlocked(void *address, size_t size, size_t count, FILE *file) {
    return __wrap_fread(address, size, count, file);
}

char *__real_fgets(char *, int, FILE *);
char *__wrap_fgets(char *line, int size, FILE *file) {
    char *got = __real_fgets(line, size, file);
    if (got) stream(file, line, strlen(line));
    return got;
}

int __real_getc(FILE *);
int __wrap_getc(FILE *file) {
    int got = __real_getc(file);
    returned = 0;
    if (got >= 0 && is_input(fileno(file))) {
        begin();
        label byte = make((struct node){ BYTE, 8, 0, 1, 0, 0, (uint64_t)ftello(file) - 1, 0 });
        returned = combine(ZEXT, 32, 8, byte, 0, 0, 0);
    }
    return got;
}
int __wrap_fgetc(FILE *file) { return __wrap_getc(file); }
int __wrap_getc_unlocked(FILE *file) { return __wrap_getc(file); }
int __wrap__IO_getc(FILE *file) { return __wrap_getc(file); }

ssize_t __real_getline(char **, size_t *, FILE *);
ssize_t __wrap_getline(char **line, size_t *size, FILE *file) {
    ssize_t got = __real_getline(line, size, file);
    if (got > 0) stream(file, *line, got);
    return got;
}

void *__real_mmap(void *, size_t, int, int, int, off_t);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    char *got = __real_mmap(address, size, protection, flags, descriptor, offset);
    if (got != MAP_FAILED && descriptor >= 0 && is_input(descriptor)) {
        uint64_t end = (uint64_t)input.st_size > (uint64_t)offset ? input.st_size - offset : 0;
        taint(got, size < end ? size : end, offset);
    }
    returned = 0;
    return got;
}
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int descriptor, off_t offset) {
    return __wrap_mmap(address, size, protection, flags, descriptor, offset);
}

/* Moving data, and memory that is new. */

void *__real_memcpy(void *, const void *, size_t);
void *__wrap_memcpy(void *to, const void *from, size_t size) {
    __taint_copy(to, from, size);
    returned = 0;
    return __real_memcpy(to, from, size);
}
void *__real_memmove(void *, const void *, size_t);
void *__wrap_memmove(void *to, const void *from, size_t size) {
    __taint_copy(to, from, size);
    returned = 0;
    return __real_memmove(to, from, size);
}
void *__real_memset(void *, int, size_t);
void *__wrap_memset(void *address, int byte, size_t size) {
    __taint_clear(address, size);
    returned = 0;
    return __real_memset(address, byte, size);
}
char *__real_strcpy(char *, const char *);
char *__wrap_strcpy(char *to, const char *from) {
    __taint_copy(to, from, strlen(from) + 1);
    returned = 0;
    return __real_strcpy(to, from);
}
char *__real_strncpy(char *, const char *, size_t);
char *__wrap_strncpy(char *to, const char *from, size_t size) {
    size_t length = strnlen(from, size);
    __taint_clear(to, size);
    __taint_copy(to, from, length);
    returned = 0;
    return __real_strncpy(to, from, size);
}
char *__real_strdup(const char *);
char *__wrap_strdup(const char *from) {
    char *got = __real_strdup(from);
    if (got) __taint_copy(got, from, strlen(from) + 1);
    returned = 0;
    return got;
}
char *__real_strndup(const char *, size_t);
char *__wrap_strndup(const char *from, size_t size) {
    char *got = __real_strndup(from, size);
    if (got) __taint_copy(got, from, strlen(got) + 1);
    returned = 0;
    return got;
}
void *__real_malloc(size_t);
void *__wrap_malloc(size_t size) {
    void *got = __real_malloc(size);
    if (got) __taint_clear(got, size);
    returned = 0;
    return got;
}
void *__real_calloc(size_t, size_t);
void *__wrap_calloc(size_t count, size_t size) {
    void *got = __real_calloc(count, size);
    if (got) __taint_clear(got, count * size);
    returned = 0;
    return got;
}
void *__real_realloc(void *, size_t);
void *__wrap_realloc(void *old, size_t size) {
    /* Labels of the old place are still there after it is freed. */
    void *got = __real_realloc(old, size);
    if (got && old && got != old) __taint_copy(got, old, size);
    returned = 0;
    return got;
}

void __real__exit(int) __attribute__((noreturn));
void __wrap__exit(int code) {
    end();
    __real__exit(code);
}
