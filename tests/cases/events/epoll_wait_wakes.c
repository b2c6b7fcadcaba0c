// A blocked epoll_wait wakes by data, by an addition from another thread, by time and by signals as masked.
#include "../case.h"
static int e, p[2], q[2];
static void *late(void *arg) {
    nap(20);
    struct epoll_event ev = {EPOLLOUT, {.u32 = 3}};
    if (arg)
        epoll_ctl(e, EPOLL_CTL_ADD, q[1], &ev);
    else
        write(p[1], "x", 1);
    return NULL;
}
static volatile sig_atomic_t got;
static void handler(int sig) { got++; }
int main(void) {
    e = MUST(epoll_create1(0));
    MUST(pipe(p)), MUST(pipe(q));
    struct epoll_event ev = {EPOLLIN, {.u32 = 2}}, out[4];
    MUST(epoll_ctl(e, EPOLL_CTL_ADD, p[0], &ev));
    pthread_t t;
    pthread_create(&t, NULL, late, NULL);
    NUM(epoll_wait(e, out, 4, -1)), NUM(out[0].data.u32);
    pthread_join(t, NULL);
    char c;
    read(p[0], &c, 1);
    pthread_create(&t, NULL, late, (void *)1);
    NUM(epoll_wait(e, out, 4, 3000)), NUM(out[0].data.u32);
    pthread_join(t, NULL);
    epoll_ctl(e, EPOLL_CTL_DEL, q[1], NULL);
    int64_t start = now_ms();
    NUM(epoll_wait(e, out, 4, 30));
    IS(now_ms() - start >= 29);
    on(SIGUSR1, handler);
    mask(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    NUM(epoll_wait(e, out, 4, 10));
    sigset_t none;
    sigemptyset(&none);
    NUM(epoll_pwait(e, out, 4, 1000, &none));
    NUM(got);
    struct timespec limit = {0, 20000000};
    NUM(syscall(SYS_epoll_pwait2, e, out, 4, &limit, NULL, 8));
    limit.tv_nsec = -1;
    NUM(syscall(SYS_epoll_pwait2, e, out, 4, &limit, NULL, 8));
}
