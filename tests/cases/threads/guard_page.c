// A thread's stack has its size and a guard below it; overrunning it is SIGSEGV and kills the process.
#include "../case.h"
static _Atomic int depth;
__attribute__((noinline)) static int dive(int n) {
    volatile char page[1024];
    page[0] = n;
    depth = n;
    return n > 1 << 20 ? 0 : dive(n + 1) + page[0];
}
static void *work(void *arg) { return (void *)(long)dive(0); }
int main(void) {
    pthread_attr_t a, own;
    size_t size, guard;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 256 << 10);
    pthread_attr_getguardsize(&a, &guard);
    NUM(guard);
    void *at;
    ERR(pthread_getattr_np(pthread_self(), &own));
    ERR(pthread_attr_getstack(&own, &at, &size));
    IS((char *)&size > (char *)at && (char *)&size < (char *)at + size);
    int *shared = MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t pid = MUST(fork());
    if (!pid) {
        pthread_t t;
        pthread_create(&t, &a, work, NULL);
        pthread_join(t, NULL);
        _exit(0);
    }
    reap("overrun", pid);
    (void)shared;
}
