// Asynchronous input and output: contexts, reads and writes, polls, counters that are told, and what is refused.
#include "../case.h"
#include <linux/aio_abi.h>
static long setup(unsigned n, aio_context_t *c) { return syscall(SYS_io_setup, n, c); }
static long submit(aio_context_t c, long n, struct iocb **p) { return syscall(SYS_io_submit, c, n, p); }
static long events(aio_context_t c, long least, long most, struct io_event *e, struct timespec *t) {
    return syscall(SYS_io_getevents, c, least, most, e, t);
}
static long one(aio_context_t c, struct iocb *i) { return submit(c, 1, &i); }
static void show(struct io_event *e, struct iocb *base) {
    say("event %ld of %ld: %ld %ld", (long)e->data, (long)((struct iocb *)(uintptr_t)e->obj - base), (long)e->res, (long)e->res2);
}
static void handler(int sig) {}
static void *kicker(void *arg) {
    nap(40);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}
int main(int argc, char **argv) {
    scratch();
    aio_context_t c = 0, d = 5;
    struct timespec now = {0, 0}, soon = {0, 20000000};
    NUM(setup(0, &c)), NUM(setup(4, &d)), NUM(setup(4, (void *)8)), NUM(setup(1 << 30, &c) < 0);
    NUM(setup(8, &c));
    IS(c != 0);
    int fd = MUST(open("f", O_RDWR | O_CREAT, 0644)), ro = MUST(open("f", O_RDONLY));
    char text[] = "hello, world", back[32] = "", more[8] = "";
    struct iovec parts[2] = {{back, 5}, {more, 4}};
    struct iocb r[8] = {
        {.aio_data = 10, .aio_lio_opcode = IOCB_CMD_PWRITE, .aio_fildes = fd, .aio_buf = (uintptr_t)text, .aio_nbytes = 12},
        {.aio_data = 11, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd, .aio_buf = (uintptr_t)back, .aio_nbytes = 32, .aio_offset = 7},
        {.aio_data = 12, .aio_lio_opcode = IOCB_CMD_FDSYNC, .aio_fildes = fd},
        {.aio_data = 13, .aio_lio_opcode = IOCB_CMD_PREADV, .aio_fildes = ro, .aio_buf = (uintptr_t)parts, .aio_nbytes = 2},
    };
    struct iocb *all[4] = {&r[0], &r[1], &r[2], &r[3]};
    struct io_event e[16];
    NUM(submit(c, 4, all));
    long n = 0;
    while (n < 4)
        n += events(c, 1, 16, e + n, NULL);
    for (int data = 10; data < 14; data++)
        for (int i = 0; i < 4; i++)
            if (e[i].data == data)
                show(&e[i], r);
    say("%.5s|%.4s", back, more);
    NUM(events(c, 0, 16, e, NULL)), NUM(events(c, 1, 16, e, &now)), NUM(events(c, 1, 16, e, &soon));
    NUM(events(c, 3, 2, e, NULL)), NUM(events(c, -1, 2, e, NULL)), NUM(events(c + 4096, 0, 2, e, NULL));
    // Errors of the request are the call's; errors of the transfer are the event's.
    r[0].aio_fildes = ro;
    NUM(one(c, &r[0]));
    r[0].aio_fildes = 999;
    NUM(one(c, &r[0]));
    r[0].aio_fildes = fd, r[0].aio_lio_opcode = 77;
    NUM(one(c, &r[0]));
    r[0].aio_lio_opcode = IOCB_CMD_PREAD, r[0].aio_buf = 8;
    NUM(one(c, &r[0])), NUM(events(c, 1, 1, e, &soon));
    show(e, r);
    r[0].aio_offset = -1;
    NUM(one(c, &r[0]));
    r[0].aio_offset = 0, r[0].aio_reserved2 = 1;
    NUM(one(c, &r[0])), NUM(submit(c, -1, all)), NUM(submit(c, 1, (void *)8)), NUM(submit(c + 4096, 1, all)), NUM(submit(c, 0, all));
    int dir = MUST(open(".", O_RDONLY));
    r[0] = (struct iocb){.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = dir, .aio_buf = (uintptr_t)back, .aio_nbytes = 4};
    NUM(one(c, &r[0]));
    all[1] = (void *)8;
    r[0].aio_fildes = fd;
    NUM(submit(c, 3, all)), NUM(events(c, 1, 4, e, NULL));
    // Pipes, polls, and a counter that is told.
    int p[2], counter = MUST(eventfd(0, EFD_NONBLOCK));
    MUST(pipe(p));
    MUST(write(p[1], "abc", 3));
    r[1] = (struct iocb){.aio_data = 20, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = p[0], .aio_buf = (uintptr_t)back,
                         .aio_nbytes = 8, .aio_flags = IOCB_FLAG_RESFD, .aio_resfd = counter};
    NUM(one(c, &r[1])), NUM(events(c, 1, 4, e, NULL));
    show(e, r);
    uint64_t told = 0;
    NUM(read(counter, &told, 8)), NUM(told);
    r[1].aio_resfd = fd;
    NUM(one(c, &r[1]));
    r[2] = (struct iocb){.aio_data = 21, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = p[0], .aio_buf = POLLIN};
    r[3] = (struct iocb){.aio_data = 22, .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = p[1], .aio_buf = POLLOUT};
    NUM(one(c, &r[2])), NUM(events(c, 1, 4, e, &soon)), NUM(one(c, &r[3])), NUM(events(c, 1, 4, e, NULL));
    show(e, r);
    MUST(write(p[1], "x", 1));
    NUM(events(c, 1, 4, e, NULL));
    // Linux may tell of more than was asked for.
    e[0].res &= POLLIN | POLLOUT;
    show(e, r);
    MUST(read(p[0], back, 1));
    NUM(one(c, &r[2])), NUM(syscall(SYS_io_cancel, c, &r[3], e)), NUM(syscall(SYS_io_cancel, c, &r[2], e));
    NUM(events(c, 1, 4, e, NULL));
    say("cancelled %ld", (long)e[0].data);
    NUM(one(c, &r[2]));
    on(SIGUSR1, handler);
    pthread_t me = pthread_self(), t;
    pthread_create(&t, NULL, kicker, &me);
    NUM(events(c, 1, 4, e, NULL));
    pthread_join(t, NULL);
    // Neither a forked child nor another program has the context.
    fflush(stdout);
    if (!MUST(fork())) {
        NUM(events(c, 0, 1, e, NULL));
        _exit(0);
    }
    wait(NULL);
    NUM(syscall(SYS_io_destroy, c)), NUM(syscall(SYS_io_destroy, c)), NUM(events(c, 0, 1, e, NULL)), NUM(one(c, &r[2]));
}
